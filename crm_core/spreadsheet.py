"""Cells that a spreadsheet would run as formulas, made safe in files we write, and as they were in files we read again."""

from __future__ import annotations

# What begins a formula in one spreadsheet or another, full-width forms included.
_STARTS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")
_MARK = "'"


def spreadsheet_safe(text: str) -> str:
    """Put an apostrophe, the spreadsheets' own mark of text, before what one of them would run."""
    return _MARK + text if _runs(text) else text


def as_it_was(text: str) -> str:
    """Take the apostrophe away that :func:`spreadsheet_safe` put there."""
    return text[1:] if text.startswith(_MARK) and _runs(text[1:]) else text


def _runs(text: str) -> bool:
    """Whether a formula begins, or would with the spaces and apostrophes before it taken away."""
    return text.lstrip(" '")[:1] in _STARTS
