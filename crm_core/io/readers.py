"""Rows of a file, one after the other, in bounded memory: delimited text, JSON lines, workbooks and address books."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from ..errors import CRMError, Invalid
from ..spreadsheet import as_it_was
from .form import Form, dialect, opened_text
from .vcards import card_records

LONGEST = 1 << 20
MOST_COLUMNS = 1_000
SAMPLE = 100
HEAD = ("line", "reason")


@attrs.frozen
class Row:
    """One record of a file.

    Attributes:
        line: the number of the line where it begins, from 1; of a workbook, of the row.
        cells: one for each column: text, or what JSON or a workbook has there; as they came where *error* is set.
        error: why it cannot be used.
    """

    line: int
    cells: Sequence[Any]
    error: CRMError | None = None

    @property
    def blank(self) -> bool:
        """Whether nothing is in it."""
        return self.error is None and all(c == "" or c is None for c in self.cells)


@attrs.frozen
class _Raw:
    """A record before its cells are put under columns: a list of cells, a JSON object, or an error."""

    line: int
    found: list[Any] | dict[str, Any] | CRMError


class _TooLong(Exception):
    """A record has more characters than we hold in memory."""


class _Lines:
    """The lines of a stream, with room for one record at a time."""

    def __init__(self, stream: io.TextIOBase, name: str, encoding: str) -> None:
        self._stream = stream
        self._name = name
        self._encoding = encoding
        self.number = 0
        self.room = LONGEST

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._read(self.room + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > self.room:
            while line and line[-1] not in "\r\n":
                line = self._read(LONGEST)
            raise _TooLong
        self.room -= len(line)
        return line

    def _read(self, size: int) -> str:
        try:
            return self._stream.readline(size)
        except UnicodeError as e:
            raise Invalid("import_encoding", encoding=self._encoding, path=self._name, line=self.number + 1) from e


class Rows:
    """The records of an open file; iterate once.

    Attributes:
        form: how the file is written; a file of failed rows is read as the rows were before it was made safe for spreadsheets.
        columns: the names of its columns, each once.
        sample: its first rows, which are in the iteration too.
        further: names that JSON lines brought after the sample, and that *columns* does not have.
    """

    def __init__(self, path: Path, raw: io.BufferedReader, form: Form, wanted: Iterable[str]) -> None:
        self.form = form
        self.further: set[str] = set()
        self._raw = raw
        self._wanted = frozenset(wanted)
        self._size = path.stat().st_size
        # Kept, because a wrapper that is forgotten closes the file it reads.
        self._text = None if form.kind == "xlsx" else opened_text(raw, form.encoding)
        self._records = _raw_records(raw, self._text, path.name, form)
        begun = list(islice(self._records, SAMPLE))
        self._ours = form.kind == "csv" and bool(begun) and isinstance(begun[0].found, list) and (*begun[0].found[:2],) == HEAD
        self.columns = self._json_columns(begun, wanted) if form.kind in ("json", "vcard") else self._csv_columns(begun, path)
        self._width = len(self.columns)
        self.sample = [self._shaped(raw) for raw in begun]

    def _json_columns(self, begun: list[_Raw], wanted: Iterable[str]) -> tuple[str, ...]:
        names = dict.fromkeys(name for raw in begun if isinstance(raw.found, dict) for name in raw.found)
        return _few(tuple(names | dict.fromkeys(wanted)))

    def _csv_columns(self, begun: list[_Raw], path: Path) -> tuple[str, ...]:
        while begun and begun[0].found == []:
            del begun[0]
        if not begun:
            raise Invalid("import_empty", path=path.name)
        head = begun[0].found
        if isinstance(head, CRMError):
            raise head
        if not self.form.header:
            return _few(tuple(str(n + 1) for n in range(len(head))))
        del begun[0]
        return _unique(_few(tuple(as_it_was(name) if self._ours else str(name) for name in head)))

    def __iter__(self) -> Iterator[Row]:
        yield from self.sample
        yield from map(self._shaped, self._records)

    @property
    def done(self) -> float:
        """How much of the file was read, from 0 to 1."""
        return min(1.0, self._raw.tell() / self._size) if self._size else 1.0

    def _shaped(self, raw: _Raw) -> Row:
        found = raw.found
        if isinstance(found, list):
            if self.form.kind == "xlsx":
                return self._of_sheet(raw.line, found)
            if self._ours:
                found = list(map(as_it_was, found))
            if len(found) == self._width or not found:
                return Row(raw.line, found)
            return Row(raw.line, found, Invalid("import_ragged", cells=len(found), columns=self._width))
        if isinstance(found, CRMError):
            return Row(raw.line, (), found)
        if len(self.further) < MOST_COLUMNS:
            self.further.update(found.keys() - self.columns)
        return Row(raw.line, [found.get(name, "") for name in self.columns])

    def _of_sheet(self, line: int, found: list[Any]) -> Row:
        """A sheet has no ends of rows: what is not there is empty."""
        from .workbook import cell_error

        if len(found) > self._width:
            return Row(line, found, Invalid("import_ragged", cells=len(found), columns=self._width))
        cells = [*found, *[""] * (self._width - len(found))]
        return Row(line, cells, cell_error(cells, self.columns, self._wanted))


@contextmanager
def open_rows(path: Path | str, form: Form | None = None, *, wanted: Iterable[str] = ()) -> Iterator[Rows]:
    """Open a file of records.

    Args:
        form: what is known of how it is written.
        wanted: names of JSON keys that may come late.

    Raises:
        Invalid: ``import_no_file``, ``import_empty``, ``import_encoding``, ``import_too_many_columns``; of a workbook,
            ``import_bad_workbook``, ``import_workbook_bomb``, ``import_which_sheet``, ``import_not_calculated``.
        MissingExtra: only the extra ``io`` could tell the encoding, or read the workbook.
    """
    path = Path(path)
    try:
        form = (form or Form()).found_out(path)
        raw = path.open("rb")
    except OSError as e:
        raise Invalid("import_no_file", path=str(path)[-200:], reason=e.strerror or "") from e
    with raw:
        yield Rows(path, raw, form, wanted)


def _raw_records(raw: io.BufferedReader, text: io.TextIOWrapper | None, name: str, form: Form) -> Iterator[_Raw]:
    if text is None:
        from .workbook import sheet_records

        return (_Raw(line, found) for line, found in sheet_records(raw, name, form.sheet))
    lines = _Lines(text, name, form.encoding)
    if form.kind == "vcard":
        return _card_records(lines)
    return _json_records(lines) if form.kind == "json" else _csv_records(lines, form)


def _csv_records(lines: _Lines, form: Form) -> Iterator[_Raw]:
    options = dialect(form.delimiter, form.quote)
    for raw in _records(lines, lambda: csv.reader(lines, strict=True, **options)):
        # Excel's own first line says which delimiter follows.
        if raw.line > 1 or not isinstance(raw.found, list) or form.delimiter.join(raw.found) != f"sep={form.delimiter}":
            yield raw


def _json_records(lines: _Lines) -> Iterator[_Raw]:
    return _records(lines, lambda: map(_object, lines))


def _card_records(lines: _Lines) -> Iterator[_Raw]:
    def numbered() -> Iterator[tuple[int, str]]:
        for line in lines:
            lines.room = LONGEST
            yield lines.number, line

    try:
        for number, found in card_records(numbered()):
            yield _Raw(number, found)
    except (_TooLong, Invalid) as e:
        yield _Raw(lines.number, e if isinstance(e, Invalid) else _unreadable(e, lines.number, lines.number))


def _records(lines: _Lines, reader: Callable[[], Iterator[Any]]) -> Iterator[_Raw]:
    """Read record by record; what cannot be read is an error in the record's place, and reading goes on behind it."""
    records = reader()
    while True:
        lines.room, line = LONGEST, lines.number + 1
        try:
            yield _Raw(line, next(records))
        except StopIteration:
            return
        except (_TooLong, csv.Error, ValueError, RecursionError) as e:
            yield _Raw(line, _unreadable(e, line, lines.number))
            records = reader()


def _unreadable(error: Exception, first: int, last: int) -> Invalid:
    if isinstance(error, _TooLong):
        return Invalid("import_too_long", first=first, last=last, limit=LONGEST)
    return Invalid("import_unreadable", first=first, last=last, reason=str(error)[:100])


def _object(line: str) -> Mapping[str, Any]:
    if not line.strip():
        return {}
    found = json.loads(line, parse_float=Decimal, parse_constant=_no_number)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _few(columns: tuple[str, ...]) -> tuple[str, ...]:
    if len(columns) > MOST_COLUMNS:
        raise Invalid("import_too_many_columns", columns=len(columns), limit=MOST_COLUMNS)
    return columns


def _unique(header: Sequence[str]) -> tuple[str, ...]:
    """Name columns that have no name or that of another one."""
    names: dict[str, None] = {}
    last: dict[str, int] = {}
    for n, given in enumerate(header, 1):
        name = base = given.strip() or f"column {n}"
        while name in names:
            last[base] = last.get(base, 1) + 1
            name = f"{base} ({last[base]})"
        names[name] = None
    return tuple(names)
