"""Run every test that records a figure of a bar and print the figures in one table: ``python -m tools.trust [--long] [--write]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "trust.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
_RECORDS = re.compile(r"^from tests\.figures import .*\bfigure\b", re.MULTILINE)
# S12, S13 and R9 are about a login and a broker, which the project does not have.
BARS = (
    *(f"S{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16)),
    *(f"R{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15)),
)

Figure = Mapping[str, Any]


def recording() -> list[str]:
    """Return the test files that record figures, or whose folder's fixtures do."""

    def records(path: Path) -> bool:
        return path.exists() and _RECORDS.search(path.read_text(encoding="utf-8")) is not None

    files = (p for p in sorted((ROOT / "tests").rglob("test_*.py")) if records(p) or records(p.with_name("conftest.py")))
    return [str(p.relative_to(ROOT)) for p in files]


def measured(paths: Sequence[str], *, long: bool) -> tuple[int, list[Figure]]:
    """Run the tests, one after another, with the cases that CI draws; return pytest's exit status and what they recorded."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "figures.jsonl"
        told = {**os.environ, "CI": "1", "CRM_TRUST_FIGURES": str(target), **({"CRM_TRUST_LONG": "1"} if long else {})}
        limit = ["-o", "timeout=7200"] if long else []
        done = subprocess.run([sys.executable, "-m", "pytest", *paths, "-q", *limit], cwd=ROOT, env=told, check=False)
        lines = target.read_text(encoding="utf-8").splitlines() if target.exists() else []
    return done.returncode, sorted((json.loads(line) for line in lines), key=_order)


def _order(figure: Figure) -> tuple[str, int, str, str]:
    bar, _, rest = figure["figure"].partition(" ")
    return bar[0], int(bar[1:]), rest, figure["database"]


def without(figures: Iterable[Figure]) -> list[str]:
    """Return the bars of which there is no figure."""
    there = {f["figure"].partition(" ")[0] for f in figures}
    return [bar for bar in BARS if bar not in there]


def table(figures: Iterable[Figure]) -> list[str]:
    """Return the figures as lines of Markdown."""
    lines = ["| figure | database | cases | rows | seed | result | bar | met |", "|---|---|---|---|---|---|---|---|"]
    for f in figures:
        counts = ["" if f[name] is None else f"{f[name]:,}" for name in ("cases", "rows", "seed")]
        shown = [f["figure"], f["database"], *counts, f["result"], f["bar"]]
        lines.append("| " + " | ".join([*(s.replace("|", "\\|") for s in shown), "yes" if f["met"] else "**no**"]) + " |")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and with ``--write`` put the table into docs/explanation/trust.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="the counts and times that the bars name: hours")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("paths", nargs="*", help="only these test files")
    given = parser.parse_args(arguments)
    status, figures = measured(given.paths or recording(), long=given.long)
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    form = "long" if given.long else "short"
    text = [f"Measured on {time.strftime('%Y-%m-%d')} ({machine}), the {form} form.", "", *table(figures)]
    text += ["", f"No figure: {', '.join(without(figures)) or 'none is missing'}."]
    print("\n".join(text))  # noqa: T201  # a program for people
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        head, rest = page.split(BEGIN)
        PAGE.write_text("\n".join([head + BEGIN, "", *text, "", END + rest.split(END)[1]]), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
