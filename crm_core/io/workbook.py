"""Rows of a sheet in an Excel workbook, one after the other, as text, exact numbers and dates."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import IO, Any

from ..errors import Invalid, MissingExtra
from ..messages import closest

# What Excel writes is some twenty times smaller than what it unpacks to; a bomb, a thousand times.
MOST_RATIO = 200
SMALL = 1 << 20
MOST_IN_SHEET = 1 << 30
MOST_BESIDE = 64 << 20
MOST_PARTS = 10_000
BEGINNING = 65_536
# Excel keeps 15 digits: 0.1 + 0.2 is stored as 0.30000000000000004, and is 0.3.
DIGITS = 15
LOOKED_AT = 100
_XML = (".xml", ".rels")
_PASSED_OVER = re.compile(rb"<!--.*?-->|<\?.*?\?>", re.DOTALL)
_ERRORS = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"})


def sheet_records(stream: IO[bytes], name: str, sheet: str) -> Iterator[tuple[int, list[Any]]]:
    """Read the rows of a sheet, each with its number.

    Args:
        name: of the file, for errors.
        sheet: of the sheet; empty for the only one.

    Raises:
        Invalid: ``import_bad_workbook``, ``import_workbook_bomb``, ``import_which_sheet``, ``import_not_calculated``.
        MissingExtra: the extra ``io`` is not installed.
    """
    with _readable(name):
        _check(stream, name)
        found = _sheet(_load(stream, values=True), name, sheet)
        _check_calculated(stream, found, name)
        for number, cells in enumerate(found.iter_rows(values_only=True), 1):
            yield number, _record(cells)


def cell_error(cells: Sequence[Any], columns: Sequence[str], wanted: Collection[str]) -> Invalid | None:
    """Say which cell of the wanted columns (of all, where none is named) holds an error instead of a value."""
    for column, cell in zip(columns, cells, strict=False):
        if cell in _ERRORS and (not wanted or column in wanted):
            return Invalid("import_cell_error", column=column[:60], given=cell)
    return None


def _load(stream: IO[bytes], *, values: bool) -> Any:
    try:
        from openpyxl import load_workbook
    except ImportError as e:
        raise MissingExtra(extra="io", module="openpyxl") from e
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and extensions, which are not read
        return load_workbook(stream, read_only=True, data_only=values, keep_links=False)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Say in our words what is wrong with a file that is no workbook."""
    try:
        yield
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError, SyntaxError) as e:  # a SyntaxError is the XML's
        raise Invalid("import_bad_workbook", path=name, reason=str(e)[:100]) from e


def _check(stream: IO[bytes], name: str) -> None:
    """Refuse what would fill the memory, by what the archive says of its parts; zipfile unpacks no more than that."""
    with zipfile.ZipFile(stream) as archive:
        parts = archive.infolist()
        grows = any(_declares(archive, p) for p in parts[:MOST_PARTS] if p.filename.endswith(_XML))
    sheets = [p for p in parts if p.filename.startswith("xl/worksheets/")]
    beside = [p for p in parts if p.filename.endswith(_XML) and not p.filename.startswith("xl/worksheets/")]
    swollen = [p for p in parts if p.file_size > SMALL and p.file_size > MOST_RATIO * p.compress_size]
    sizes = max((p.file_size for p in sheets), default=0), sum(p.file_size for p in beside)
    if grows or swollen or sizes[0] > MOST_IN_SHEET or sizes[1] > MOST_BESIDE or len(parts) > MOST_PARTS:
        raise Invalid("import_workbook_bomb", path=name)


def _declares(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    """Whether a part begins with anything but its root, such as declarations of entities that grow; Office writes none."""
    with archive.open(part) as content:
        beginning = content.read(BEGINNING).replace(b"\0", b"")  # of UTF-16
    return not re.match(rb"[\s\xef\xbb\xbf\xfe\xff]*<\w", _PASSED_OVER.sub(b"", beginning))


def _sheet(book: Any, name: str, wanted: str) -> Any:
    """Return the sheet that is asked for, or the only one that people see."""
    shown = {s.title: s for s in book.worksheets if s.sheet_state == "visible"}
    known = {s.title: s for s in book.worksheets} if wanted else shown
    title = wanted or (next(iter(shown)) if len(shown) == 1 else "")
    if title not in known:
        raise Invalid("import_which_sheet", path=name, sheet=wanted, suggestion=closest(wanted, known), known=list(shown))
    found = known[title]
    found.reset_dimensions()  # what the file says of its own size may be wrong, and would be believed
    return found


def _check_calculated(stream: IO[bytes], values: Any, name: str) -> None:
    """Refuse formulas that nobody ever worked out: their cells would come in empty."""
    formulas = _sheet(_load(stream, values=False), name, values.title)
    rows = zip(formulas.iter_rows(max_row=LOOKED_AT), values.iter_rows(max_row=LOOKED_AT, values_only=True), strict=False)
    for cells, found in rows:
        for cell, value in zip(cells, found, strict=False):
            if value is None and cell.data_type == "f":
                raise Invalid("import_not_calculated", path=name, cell=cell.coordinate)


def _record(cells: Sequence[Any]) -> list[Any]:
    made = [_value(cell) for cell in cells]
    while made and made[-1] == "":
        made.pop()
    return made


def _value(cell: Any) -> Any:
    """Return a cell as text, as a date, or as the number that Excel shows; a whole number is text, whatever the decimal point."""
    match cell:
        case None:
            return ""
        case str():
            return cell
        case bool():
            return "true" if cell else "false"
        case int():
            return str(cell)
        case float():
            number = Decimal(f"{cell:.{DIGITS}g}")
            return str(int(number)) if number == number.to_integral_value() and abs(number) < 10**DIGITS else number
        case datetime() if cell.time() == cell.min.time():
            return cell.date()
        case _:
            return cell if isinstance(cell, datetime) else str(cell)
