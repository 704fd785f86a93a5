"""What a reconciliation found of one stream."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs

MOST_SHOWN = 20


@attrs.define
class StreamReport:
    """One stream on both sides.

    Attributes:
        there, here: how many records.
        sums: for each amount, month and currency (``total 2026-03 EUR``) the sums there and here; the month is that of the stream's
            first date, empty where it has none.
        only_there, only_here: ids, the first twenty, of what the other side lacks; ``missing_here`` and ``missing_there`` count all.
            Of a stream that is only written: there without being due here any more, as of a deal that was reopened; and here without
            being there. The ids are the ERP's, or ours of what never went there.
        differing: how many records differ in a field that the ERP owns or a person decides; ``sample`` has the first twenty.
        dead: how many letters of both directions wait for a person: those of :meth:`ErpBridge.dead_letters`.
        queued: how many writes are on their way; that is no difference.
    """

    stream: str
    there: int = 0
    here: int = 0
    sums: dict[str, tuple[Decimal, Decimal]] = attrs.Factory(dict)
    missing_here: int = 0
    missing_there: int = 0
    only_there: list[str] = attrs.Factory(list)
    only_here: list[str] = attrs.Factory(list)
    differing: int = 0
    sample: list[tuple[str, dict[str, tuple[Any, Any]]]] = attrs.Factory(list)
    dead: int = 0
    queued: int = 0

    @property
    def clean(self) -> bool:
        """Whether both sides agree and no dead letter is left."""
        agree = all(there == here for there, here in self.sums.values())
        return not (self.missing_here or self.missing_there or self.differing or self.dead) and agree and self.there == self.here


def lacks_there(report: StreamReport, id: str) -> None:
    """Count a record that is here alone."""
    report.missing_there += 1
    report.only_here += [id][: MOST_SHOWN - len(report.only_here)]


def lacks_here(report: StreamReport, id: str) -> None:
    """Count a record that is there alone."""
    report.missing_here += 1
    report.only_there += [id][: MOST_SHOWN - len(report.only_there)]
