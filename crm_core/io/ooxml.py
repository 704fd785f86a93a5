"""The parts of an Excel workbook (Office Open XML), each read one element after the other: what a part may make of the memory is bounded
here, whatever the part is called and whatever it says of itself."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any
from xml.parsers.expat import ParserCreate

import attrs

# What Excel writes is some twenty times smaller than what it unpacks to; a bomb, a thousand times.
MOST_RATIO = 200
SMALL = 1 << 20
MOST_IN_SHEET = 1 << 30
MOST_BESIDE = 64 << 20
MOST_PARTS = 10_000
MOST_STRINGS = 2_000_000
MOST_SHEETS = 1_000
MOST_STYLES = 100_000
DEEPEST = 64
LONGEST = 1 << 20  # characters of one text; and of XML in which nothing begins or ends, as in a tag or a comment, four times as many
_CHUNK = 1 << 16
_XML = (".xml", ".rels")
_PASSED_OVER = re.compile(rb"<!--.*?-->|<\?.*?\?>", re.DOTALL)
Step = tuple[str, Mapping[str, str] | None]
DateFormat = Callable[[str], bool]


class Bomb(Exception):
    """It would fill the memory, or take hours."""


@attrs.frozen
class Sheet:
    """A sheet: where its part is, and whether people see it."""

    part: str
    visible: bool


@attrs.frozen
class Book:
    """A workbook.

    Attributes:
        sheets: by title.
        strings: what cells share.
        dates, durations: the numbers of the styles in which a number is a date or a time; of those, in which it is a length of time.
        from_1904: whether days are counted from 1904.
    """

    archive: zipfile.ZipFile
    sheets: Mapping[str, Sheet]
    strings: Sequence[str]
    dates: frozenset[int]
    durations: frozenset[int]
    from_1904: bool


def read_book(stream: IO[bytes], is_date: DateFormat, is_duration: DateFormat, known_formats: Mapping[int, str]) -> Book:
    """Read what a workbook has beside its sheets.

    Args:
        is_date, is_duration: say it of the format of a number.
        known_formats: those that have a number in every workbook.

    Raises:
        Bomb: see there.
        zipfile.BadZipFile, ValueError, LookupError, ExpatError: it is no workbook.
    """
    archive = zipfile.ZipFile(stream)
    _check(archive)
    [main] = [target for kind, target in _relations(archive, "").values() if kind == "officeDocument"]
    related = _relations(archive, main)
    of_kind = dict(related.values())
    sheets, from_1904 = _sheets(archive, main, related)
    dates, durations = _styles(archive, of_kind.get("styles", ""), is_date, is_duration, known_formats)
    return Book(archive, sheets, _strings(archive, of_kind.get("sharedStrings", "")), dates, durations, from_1904)


def _check(archive: zipfile.ZipFile) -> None:
    """Refuse what was made to burst in somebody's hands, if not in ours: also parts that are not read here."""
    parts = archive.infolist()
    beside = sum(p.file_size for p in parts if p.filename.endswith(_XML) and not p.filename.startswith("xl/worksheets/"))
    if len(parts) > MOST_PARTS or beside > MOST_BESIDE or any(map(_swells, parts)):
        raise Bomb
    if any(_declares(archive, p) for p in parts if p.filename.endswith(_XML)):
        raise Bomb


def _swells(part: zipfile.ZipInfo) -> bool:
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # Excel knows no other
        return True
    return part.file_size > SMALL and part.file_size > MOST_RATIO * part.compress_size


def _declares(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    """Whether a part begins with anything but its root, such as declarations of entities that grow; Office writes none."""
    with archive.open(part) as content:
        beginning = content.read(_CHUNK).replace(b"\0", b"")  # of UTF-16
    return not re.match(rb"[\s\xef\xbb\xbf\xfe\xff]*<\w", _PASSED_OVER.sub(b"", beginning))


def steps(archive: zipfile.ZipFile, part: str, most: int) -> Iterator[Step]:
    """Go through a part: ``(name, attributes)`` where an element begins, ``("/name", None)`` where it ends, ``("=text", None)``.

    Names are without their prefix. A part with a DTD, which no office writes, is a bomb.

    Args:
        most: bytes that it may unpack to.
    """
    info = archive.getinfo(part)
    if info.file_size > most:
        raise Bomb
    found: list[Step] = []
    depth = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise Bomb
        found.append((name.rpartition(":")[2], attributes))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        found.append((f"/{name.rpartition(':')[2]}", None))

    def burst(*_: Any) -> None:
        raise Bomb

    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = lambda text: found.append((f"={text}", None))
    parser.StartDoctypeDeclHandler = burst
    silent = 0
    with archive.open(info) as content:
        while chunk := content.read(_CHUNK):
            parser.Parse(chunk, False)
            silent = 0 if found else silent + len(chunk)
            if silent > 4 * LONGEST:
                raise Bomb
            yield from found
            found.clear()
    parser.Parse(b"", True)
    yield from found


def _relations(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return what a part points at: by id, the last word of its kind and the part."""
    folder, name = posixpath.split(part)
    found: dict[str, tuple[str, str]] = {}
    for step, given in steps(archive, posixpath.join(folder, "_rels", f"{name}.rels"), SMALL):
        if step == "Relationship" and given is not None and given.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, given["Target"])).lstrip("/")
            found[given["Id"]] = given["Type"].rpartition("/")[2], target
    return found


def _sheets(archive: zipfile.ZipFile, part: str, related: Mapping[str, tuple[str, str]]) -> tuple[dict[str, Sheet], bool]:
    found: dict[str, Sheet] = {}
    from_1904 = False
    for step, given in steps(archive, part, MOST_BESIDE):
        if given is None:
            continue
        if step == "sheet":
            [id_] = [value for name, value in given.items() if name.endswith(":id")] or [""]
            kind, target = related.get(id_, ("", ""))
            if kind == "worksheet":
                found[given["name"]] = Sheet(target, given.get("state", "visible") == "visible")
        elif step == "workbookPr":
            from_1904 = given.get("date1904", "0") in ("1", "true")
        if len(found) > MOST_SHEETS:
            raise Bomb
    return found, from_1904


def _styles(
    archive: zipfile.ZipFile, part: str, is_date: DateFormat, is_duration: DateFormat, known: Mapping[int, str]
) -> tuple[frozenset[int], frozenset[int]]:
    formats, used, inside = dict(known), list[int](), False
    for step, given in steps(archive, part, MOST_BESIDE) if part else ():
        if step == "numFmt" and given is not None:
            formats[int(given["numFmtId"])] = given.get("formatCode", "")[:1_000]
        elif step in ("cellXfs", "/cellXfs"):
            inside = given is not None
        elif inside and step == "xf" and given is not None:
            used.append(int(given.get("numFmtId", "0")))
        if len(formats) + len(used) > MOST_STYLES:
            raise Bomb
    of = {number: (is_date(form), is_duration(form)) for number in set(used) if (form := formats.get(number, ""))}
    dates = frozenset(n for n, number in enumerate(used) if of.get(number, (False, False))[0])
    return dates, frozenset(n for n in dates if of[used[n]][1])


def _strings(archive: zipfile.ZipFile, part: str) -> list[str]:
    found: list[str] = []
    text = Text()
    for step, given in steps(archive, part, MOST_BESIDE) if part else ():
        if step == "si":
            text = Text()
        elif step == "/si":
            found.append(text.whole)
            if len(found) > MOST_STRINGS:
                raise Bomb
        else:
            text.take(step, given is not None)
    return found


class Text:
    """The text of a cell as its runs come; how it is spoken, which stands beside it, is left out."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._spoken = self._open = False

    def take(self, step: str, begins: bool) -> None:
        """Take the next step of the part."""
        if step[0] == "=":
            if self._open and not self._spoken:
                self._parts.append(step[1:])
                self._length += len(step) - 1
                if self._length > LONGEST:
                    raise Bomb
        elif step.endswith("rPh"):
            self._spoken = begins
        elif step in ("t", "/t"):
            self._open = begins

    @property
    def whole(self) -> str:
        """What was read, without the mark that Excel puts before what looks like a character's number."""
        return "".join(self._parts).replace("x005F_", "")
