"""Which regular expressions an administrator may demand of a text: those that no text keeps busy for long.

Python's matcher goes back and tries again; a repeat inside a repeat, or many of them in a row, would take it hours on a text of a line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ..entities.custom import LONGEST_TEXT

MOST_OPEN = 2  # of a text of 500 characters: a quarter of a million ways
MOST_OPTIONAL = 4
MOST_ALTERNATIVES = 20
MOST_WAYS = 8_000_000  # to match a text, whatever they come from: half a second
_PART = re.compile(
    r"\\(?P<back>[1-9])|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<special>\(\?)|(?P<repeated>\)[*+?{])"
    r"|(?P<open>[*+]|\{\d*,\d*\})(?P<greed>[?+]?)|(?P<optional>\?)|(?P<other>\|)|.",
    re.DOTALL,
)


def is_quick(pattern: str) -> bool:
    """Say whether a pattern is a regular expression, and cannot keep the matcher busy."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError, FutureWarning):
        return False
    found = list(_PART.finditer(pattern))
    if any(part["back"] or part["special"] or part["repeated"] for part in found):
        return False
    counts = {name: sum(part[name] is not None for part in found) for name in ("open", "optional", "other")}
    if counts["open"] > MOST_OPEN or counts["optional"] > MOST_OPTIONAL or counts["other"] > MOST_ALTERNATIVES:
        return False
    ways: int = LONGEST_TEXT ** counts["open"] * 2 ** counts["optional"] * _choices(found)
    return ways <= MOST_WAYS


def _choices(found: Sequence[re.Match[str]]) -> int:
    """Return in how many ways a text may go through the alternatives of all groups, at most: each group multiplies them."""
    ways, groups = 1, [1]
    for part in found:
        if part["special"]:
            continue
        if part[0] == "(":
            groups.append(1)
        elif part[0] == ")" and len(groups) > 1:
            ways *= groups.pop()
        elif part["other"]:
            groups[-1] += 1
    return math.prod(groups, start=ways)
