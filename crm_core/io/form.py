"""What a file is made of: its encoding, its kind and its delimiter, as somebody says or as its beginning shows."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path
from typing import Any, Literal

import attrs

from ..errors import Invalid, MissingExtra

_SAMPLE = 65_536
_DELIMITERS = ",;\t|^~"
# The longer mark first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# How the names of those begin that are sets of characters; of Python's other codecs, one needs hours for a line.
_CHARSETS = ("ascii", "big5", "cp", "euc", "gb", "hp-", "hz", "iso", "johab", "koi8", "kz", "mac", "palmos", "ptcp", "shift_", "tis", "utf")
_MARKS_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@attrs.frozen
class Form:
    """How a file is written; what is not said is found out.

    Attributes:
        kind: ``csv``, ``json`` for one JSON object a line, ``xlsx`` for an Excel workbook, or ``vcard`` for an address book.
        encoding: the name of a character set that Python knows, like ``cp1252``.
        delimiter: one character; ``quote``: one character, or empty where quotes mean nothing.
        sheet: of a workbook with several.
        header: whether the first line names the columns; without one they are called ``1``, ``2``, ...
    """

    kind: Literal["", "csv", "json", "xlsx", "vcard"] = ""
    encoding: str = attrs.field(default="")
    delimiter: str = attrs.field(default="")
    quote: str = attrs.field(default='"')
    header: bool = True
    sheet: str = ""

    @encoding.validator
    def _is_known(self, _: object, value: str) -> None:
        if value and not is_charset(value):
            raise Invalid("import_no_encoding", given=str(value)[:60])

    @delimiter.validator
    @quote.validator
    def _is_one_character(self, attribute: attrs.Attribute[str], value: str) -> None:
        if len(value) > 1 or value in ("\n", "\r"):
            raise Invalid("import_one_character", option=attribute.name, given=value[:20])

    def found_out(self, path: Path) -> Form:
        """Return the form with nothing left open.

        Raises:
            Invalid: ``import_encoding``: no encoding fits.
            MissingExtra: only the extra ``io`` could tell the encoding.
        """
        if (self.kind or _kind(path)) == "xlsx":
            return attrs.evolve(self, kind="xlsx")
        encoding = self.encoding or _encoding(path)
        try:
            with path.open("rb") as raw, opened_text(raw, encoding, "replace") as stream:
                sample = stream.read(_SAMPLE)
        except UnicodeError as e:  # what is wrong with all of it, such as a missing mark, nothing replaces
            raise Invalid("import_encoding", encoding=encoding, path=path.name) from e
        kind = self.kind or _kind_of(sample, path.suffix.lower())
        return attrs.evolve(self, kind=kind, encoding=encoding, delimiter=self.delimiter or _delimiter(sample, self.quote))


def is_charset(name: str) -> bool:
    """Say whether a name is that of a character set, as files are written in."""
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError, TypeError):
        return False
    return found.startswith(_CHARSETS)


def _kind_of(sample: str, suffix: str) -> Literal["csv", "json", "vcard"]:
    if suffix in (".vcf", ".vcard") or sample.lstrip()[:11].upper() == "BEGIN:VCARD":
        return "vcard"
    return "json" if suffix in (".jsonl", ".ndjson") or sample.lstrip().startswith("{") else "csv"


def _kind(path: Path) -> str:
    """Tell a workbook by its first bytes: a zip, or the older container that holds what has a password."""
    with path.open("rb") as stream:
        return "xlsx" if stream.read(4) in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0") else ""


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(_SAMPLE)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return _of_32_bits(start) or name
    if b"\x00" in start:
        return _wide(start, path)
    wrong = _not_utf8(path)
    return "utf-8" if wrong is None else _guess(path, start, wrong)


def _of_32_bits(start: bytes) -> str:
    """Tell UTF-32 behind the mark of UTF-16, as some programs write it, by where its zeros are."""
    if start[:2] not in _MARKS_16 or start[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return ""
    zeros = [start[2 + n :: 4].count(0) * 8 > len(start) for n in range(4)]
    return "utf-32-be" if zeros == [True, True, True, False] else "utf-32-le" if zeros == [False, True, True, True] else ""


def opened_text(raw: io.BufferedReader, encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    """Read a file as text from behind a mark that its encoding does not know."""
    if encoding.startswith("utf-32-"):
        raw.seek(2 if raw.read(2) in _MARKS_16 else 0)
    return io.TextIOWrapper(raw, encoding, errors=errors, newline="")


def _wide(start: bytes, path: Path) -> str:
    """Tell UTF-16 without a mark by where its zeros are."""
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) * 8 < len(start):
        return "utf-8" if _not_utf8(path) is None else "latin-1"
    return "utf-16-le" if odd > even else "utf-16-be"


def _not_utf8(path: Path) -> int | None:
    """Return where about a file stops to be UTF-8; None where all of it is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        while True:
            at = stream.tell()
            chunk = stream.read(1 << 20)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as e:
                return at + e.start
            if not chunk:
                return None


def _guess(path: Path, start: bytes, wrong: int) -> str:
    try:
        from charset_normalizer import from_bytes
    except ImportError as e:
        raise MissingExtra(extra="io", module="charset_normalizer") from e
    with path.open("rb") as stream:
        stream.seek(max(0, wrong - _SAMPLE // 2))
        around = stream.read(_SAMPLE)
    best = from_bytes(start[: _SAMPLE // 2] + around).best()
    if best is None:
        raise Invalid("import_encoding", encoding="utf-8", path=path.name)
    return best.encoding


def _delimiter(sample: str, quote: str) -> str:
    """Choose the character that cuts most records into as many cells as the first has."""
    first = sample.partition("\n")[0]
    if first.startswith("sep=") and len(first.rstrip("\r")) == 5:
        return first[4]
    whole = sample if len(sample) < _SAMPLE else sample[: sample.rfind("\n") + 1] or sample
    return max(_DELIMITERS, key=lambda d: _fit(whole, d, quote))


def _fit(sample: str, delimiter: str, quote: str) -> tuple[float, int]:
    lines = sample.splitlines(keepends=True)
    try:
        records = [r for r in csv.reader(lines, **dialect(delimiter, quote)) if r][:200]
    except csv.Error:
        return (0.0, 0)
    width = len(records[0]) if records else 0
    if width < 2:
        return (0.0, 0)
    return (sum(len(r) == width for r in records) / len(records), width)


def dialect(delimiter: str, quote: str) -> dict[str, Any]:
    """Return the arguments of ``csv.reader``."""
    if not quote:
        return {"delimiter": delimiter, "quoting": csv.QUOTE_NONE}
    return {"delimiter": delimiter, "quotechar": quote}
