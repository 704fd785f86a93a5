"""Rows of a sheet in an Excel workbook, one after the other, as text, exact numbers and dates."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import IO, Any
from xml.parsers.expat import ExpatError

import attrs

from ..errors import Invalid, MissingExtra
from ..messages import closest
from .ooxml import LONGEST, MOST_IN_SHEET, Bomb, Book, Sheet, Text, read_book, steps

# What a sheet of Excel's can hold.
MOST_ROWS = 1_048_576
MOST_CELLS = 16_384
MOST_IN_ROW = 16 * MOST_CELLS  # beginnings, ends and texts of elements
MOST_OUTSIDE = 1_000_000  # of those outside of rows: merged cells, links, formats
# Excel keeps 15 digits: 0.1 + 0.2 is stored as 0.30000000000000004, and is 0.3.
DIGITS = 15
LONGEST_NUMBER = 64
LOOKED_AT = 100
_PLACE = re.compile(r"([A-Z]{1,3})[0-9]{1,7}")
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_BAD = "#VALUE!"
_ERRORS = frozenset({"#NULL!", "#DIV/0!", _BAD, "#REF!", "#NAME?", "#NUM!", "#N/A"})
# What a zip and the XML in it may raise; one with a password, a RuntimeError.
_BROKEN = (zipfile.BadZipFile, zlib.error, ExpatError, LookupError, ValueError, OverflowError, OSError, EOFError, RuntimeError)


def sheet_records(stream: IO[bytes], name: str, sheet: str) -> Iterator[tuple[int, list[Any] | Invalid]]:
    """Read the rows of a sheet, each with its number; rows without a cell may be left out.

    Args:
        name: of the file, for errors.
        sheet: of the sheet; empty for the only one.

    Raises:
        Invalid: ``import_bad_workbook``, ``import_workbook_bomb``, ``import_which_sheet``, ``import_not_calculated``.
        MissingExtra: the extra ``io`` is not installed.
    """
    with _readable(name):
        book, values = _opened(stream)
        for number, cells in _rows(book, _sheet(book, name, sheet)):
            missing = next((c.place for c in cells if c.is_open), None)
            if missing is not None:
                wrong = Invalid("import_not_calculated", path=name, cell=f"{_letters(missing)}{number}")
                if number <= LOOKED_AT:
                    raise wrong
                yield number, wrong
                continue
            yield number, _record(cells, values)


def cell_error(cells: Sequence[Any], columns: Sequence[str], wanted: Collection[str]) -> Invalid | None:
    """Say which cell of the wanted columns (of all, where none is named) holds an error instead of a value."""
    for column, cell in zip(columns, cells, strict=False):
        if cell in _ERRORS and (not wanted or column in wanted):
            return Invalid("import_cell_error", column=column[:60], given=cell)
    return None


@attrs.define
class _Cell:
    """A cell as it is written.

    Attributes:
        place: its column, from 1.
        kind: what its value is, ``n`` where nothing is said; ``style``: the number of its style.
        value: None where it has none.
        formula: whether one stands behind it.
    """

    place: int
    kind: str
    style: int
    value: str | None = None
    formula: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nobody ever worked its formula out: its value would come in empty."""
        return self.formula and (self.value is None or (self.kind == "n" and not self.value))


def _opened(stream: IO[bytes]) -> tuple[Book, Callable[[_Cell], Any]]:
    """Open a workbook, and return it with what reads the values of its cells."""
    try:
        import openpyxl  # noqa: F401
        from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
        from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel, from_ISO8601
    except ImportError as e:
        raise MissingExtra(extra="io", module="openpyxl") from e
    book = read_book(stream, is_date_format, is_timedelta_format, BUILTIN_FORMATS)
    epoch = CALENDAR_MAC_1904 if book.from_1904 else CALENDAR_WINDOWS_1900

    def moment(cell: _Cell, number: float) -> Any:
        return from_excel(number, epoch, timedelta=cell.style in book.durations)

    def read(cell: _Cell) -> Any:
        text = cell.value
        if text is None:
            return ""
        try:
            match cell.kind:
                case "s":
                    return book.strings[int(text)] if _WHOLE.fullmatch(text) and text[0] != "-" else _BAD
                case "b":
                    return "true" if text.strip() in ("1", "true") else "false"
                case "d":
                    return _value(from_ISO8601(text))
                case "n" if text.strip():
                    number = _number(text.strip())
                    return _value(moment(cell, number) if cell.style in book.dates else number)
        except (ValueError, OverflowError, IndexError):
            return _BAD
        return text

    return book, read


def _number(text: str) -> int | float:
    if _WHOLE.fullmatch(text):
        return int(text)
    number = float(text)
    if len(text) > LONGEST_NUMBER or not math.isfinite(number):
        raise ValueError(text[:LONGEST_NUMBER])
    return number


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Say in our words what is wrong with a file that is no workbook."""
    try:
        yield
    except Bomb as e:
        raise Invalid("import_workbook_bomb", path=name) from e
    except _BROKEN as e:
        raise Invalid("import_bad_workbook", path=name, reason=str(e)[:100]) from e


def _sheet(book: Book, name: str, wanted: str) -> Sheet:
    """Return the sheet that is asked for, or the only one that people see."""
    shown = {title: sheet for title, sheet in book.sheets.items() if sheet.visible}
    known = book.sheets if wanted else shown
    title = wanted or (next(iter(shown)) if len(shown) == 1 else "")
    if title not in known:
        raise Invalid("import_which_sheet", path=name, sheet=wanted, suggestion=closest(wanted, known), known=list(shown))
    return known[title]


def _rows(book: Book, sheet: Sheet) -> Iterator[tuple[int, list[_Cell]]]:
    """Yield the rows as they are written; of what stands behind the sheet's data nothing is kept."""
    cells: list[_Cell] = []
    number = length = inside = outside = 0
    text: Text | None = None
    within, over = "", False
    for step, given in steps(book.archive, sheet.part, MOST_IN_SHEET):
        over = over or step == "/sheetData"
        inside, outside = inside + 1, outside + (over or not number)
        if inside > MOST_IN_ROW + outside or outside > MOST_OUTSIDE:
            raise Bomb
        if over:
            continue
        if step == "row" and given is not None:
            after, number = number, int(float(given.get("r", number + 1)))
            if not after < number <= MOST_ROWS:
                raise ValueError(f"row {number}")
            cells, length, inside = [], 0, outside
        elif step == "/row":
            yield number, cells
        elif step == "c" and given is not None:
            cells.append(_cell(given, cells))
            if len(cells) > MOST_CELLS:
                raise Bomb
        elif step in ("v", "is", "f") and given is not None:
            within, text = step, Text()
            if step == "v":
                text.take("t", True)
        elif step in ("/v", "/is", "/f"):
            if cells and text is not None:
                _finish(cells[-1], step, text.whole)
                length += len(text.whole)
                if length > LONGEST:
                    raise Bomb
            text = None
        elif text is not None and within != "f":
            text.take(step, given is not None)


def _finish(cell: _Cell, step: str, text: str) -> None:
    if step == "/f":
        cell.formula = True
    elif (step == "/is") == (cell.kind == "inlineStr"):
        cell.value = text


def _cell(given: Any, cells: Sequence[_Cell]) -> _Cell:
    after = cells[-1].place if cells else 0
    place = after + 1
    if "r" in given:
        named = _PLACE.fullmatch(given["r"])
        place = _column(named[1]) if named else 0
    if not after < place <= MOST_CELLS:
        raise ValueError(f"cell {given.get('r', '')[:20]}")
    return _Cell(place, given.get("t", "n"), int(given.get("s", "0")))


def _column(letters: str) -> int:
    found = 0
    for letter in letters:
        found = found * 26 + ord(letter) - 64
    return found


def _letters(column: int) -> str:
    return (_letters((column - 1) // 26) if column > 26 else "") + chr((column - 1) % 26 + 65)


def _record(cells: Sequence[_Cell], read: Callable[[_Cell], Any]) -> list[Any]:
    made: list[Any] = [""] * (cells[-1].place if cells else 0)
    for cell in cells:
        made[cell.place - 1] = read(cell)
    while made and made[-1] == "":
        made.pop()
    return made


def _value(cell: Any) -> Any:
    """Return a value as text, as a date, or as the number that Excel shows; a whole number is text, whatever the decimal point."""
    match cell:
        case int():
            return str(cell)
        case float():
            number = Decimal(f"{cell:.{DIGITS}g}")
            return str(int(number)) if number == number.to_integral_value() and abs(number) < 10**DIGITS else number
        case datetime() if cell.time() == cell.min.time():
            return cell.date()
        case _:
            return cell if isinstance(cell, datetime) else str(cell)
