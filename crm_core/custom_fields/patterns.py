"""Which regular expressions an administrator may demand of a text: those that no text keeps busy for long.

Python's matcher goes back and tries again; a repeat inside a repeat, or many of them in a row, would take it hours on a text of a line.
"""

from __future__ import annotations

import re

MOST_OPEN = 2  # of a text of 500 characters: a quarter of a million ways
MOST_OPTIONAL = 4
MOST_ALTERNATIVES = 20
_PART = re.compile(
    r"\\(?P<back>[1-9])|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<special>\(\?)|(?P<repeated>\)[*+?{])"
    r"|(?P<open>[*+]|\{\d*,\d*\})(?P<greed>[?+]?)|(?P<optional>\?)|(?P<other>\|)|.",
    re.DOTALL,
)


def is_quick(pattern: str) -> bool:
    """Say whether a pattern is a regular expression, and cannot keep the matcher busy."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    found = list(_PART.finditer(pattern))
    if any(part["back"] or part["special"] or part["repeated"] for part in found):
        return False
    counts = {name: sum(part[name] is not None for part in found) for name in ("open", "optional", "other")}
    return counts["open"] <= MOST_OPEN and counts["optional"] <= MOST_OPTIONAL and counts["other"] <= MOST_ALTERNATIVES
