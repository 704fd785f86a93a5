"""The report: every rule's outcome, for people and as ``quality.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from ...hooks.plugin import Plugin
from .rule import Outcome


@attrs.frozen
class Report:
    """What a plugin's trial came to.

    Attributes:
        outcomes: of every rule, in their order.
    """

    plugin: Plugin
    outcomes: Sequence[Outcome]

    @property
    def failed(self) -> list[Outcome]:
        """The rules that are broken."""
        return [o for o in self.outcomes if o.outcome == "failed"]

    @property
    def score(self) -> int:
        """Of the rules that could be tried, how many in a hundred hold; rounded down, so that 100 means all."""
        tried = [o for o in self.outcomes if o.outcome != "skipped"]
        return 100 * sum(o.outcome == "passed" for o in tried) // len(tried) if tried else 0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        from ... import __version__

        rules = [
            {"rule": str(o.rule), "outcome": o.outcome, "reasons": list(o.reasons), "notes": list(o.notes), "seconds": round(o.seconds, 3)}
            for o in self.outcomes
        ]
        return {"plugin": self.plugin.name, "version": self.plugin.version, "core": __version__, "score": self.score, "rules": rules}

    def write(self, path: str | Path, *companions: Report) -> None:
        """Write it to a file, with the reports of the plugin's companions."""
        whole = self.to_json() | ({"companions": [each.to_json() for each in companions]} if companions else {})
        Path(path).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def lines(self) -> Iterator[str]:
        """Say it in lines; why several rules were skipped is said at the first of them."""
        skipped: set[str] = set()
        for o in self.outcomes:
            yield f"{o.outcome:7} {o.rule} ({o.seconds:.2f} s)"
            yield from (f"        - {reason}" for reason in o.reasons if reason not in skipped)
            skipped |= {*o.reasons} if o.outcome == "skipped" else set()
            yield from (f"        {note}" for note in o.notes)
        yield f"{self.plugin.name} {self.plugin.version}: {self.score} of 100"
