"""One figure of one bar, with all that is needed to get it again: a line of JSON in CRM_TRUST_FIGURES, or else printed."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

LONG = bool(os.environ.get("CRM_TRUST_LONG"))
"""Run the long forms: the counts that the bars name, and the bars on time."""


def figure(
    name: str,
    *,
    database: str,
    result: str,
    bar: str,
    cases: int | None = None,
    rows: int | None = None,
    seed: int | None = None,
    met: bool = True,
) -> None:
    """Record what a test found.

    Args:
        name: the bar's name, with a word behind it where a bar has several figures: ``R1``, ``R3 disk full``.
        database: ``sqlite 3.40.1``, ``postgresql 18``; see :func:`crm_core.testing.databases.Database.kind` for the first word.
        result: what came out, with its unit.
        bar: what should have come out.
        cases: how many times it was tried.
        rows: how many rows the data had, or were written.
        seed: what makes the same cases again.
        met: the result reaches the bar. A test whose bar must hold asserts it besides; a timed bar may only be told.
    """
    line = json.dumps(
        {
            "figure": name,
            "database": database,
            "rows": rows,
            "cases": cases,
            "seed": seed,
            "result": result,
            "bar": bar,
            "met": met,
            "long": LONG,
            "python": platform.python_version(),
        },
        ensure_ascii=False,
    )
    target = os.environ.get("CRM_TRUST_FIGURES")
    if not target:
        print(line, file=sys.stderr)
        return
    # One write of one line: workers append to the same file at the same time.
    with Path(target).open("a", encoding="utf-8", buffering=1) as file:
        file.write(line + "\n")
