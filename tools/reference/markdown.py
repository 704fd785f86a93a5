"""Markdown of docstrings, tables and values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

_ROLE = re.compile(r":\w+:`~?([^`]+)`")


def prose(text: str | None) -> str:
    """Return the first part of a docstring, up to its sections, as one line of Markdown."""
    cleaned = re.split(r"\n\s*\n|\n(?:Args|Attributes|Raises|Returns)::?\n", inspect.cleandoc(text or ""))[0]
    return " ".join(_ROLE.sub(r"`\1`", cleaned).replace("``", "`").split()).removesuffix("::")


def section(text: str | None, title: str) -> dict[str, str]:
    """Return the entries of a docstring's section such as ``Attributes``, by name."""
    found = re.search(rf"^{title}:\n((?:    .*\n?|\n)+)", inspect.cleandoc(text or ""), re.M)
    entries: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \S)", found[1].rstrip()) if found else ():
        names, _, meaning = entry.strip().partition(": ")
        entries |= {name.strip(): prose(meaning) for name in names.split(",")}
    return entries


def code(text: object) -> str:
    """Set *text* as code."""
    return f"`{text}`"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table; columns that are empty in every row are left out, and a table without rows altogether."""
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    kept = [n for n in range(len(heads)) if any(line[n] for line in lines)]
    if not lines:
        return []
    head = [[heads[n] for n in kept], ["---"] * len(kept)]
    return ["", *(f"| {' | '.join(cells)} |" for cells in [*head, *([line[n] for n in kept] for line in lines)])]


def value(given: Any) -> str:
    """Write a default as a reader would."""
    if given is None or given == "":
        return "" if given is None else '`""`'
    return code(getattr(given, "value", given))
