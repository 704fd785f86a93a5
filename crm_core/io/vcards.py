"""Contacts of an address book, card by card: vCard 2.1 as old programs write it, 3.0 (RFC 2426) and 4.0 (RFC 6350)."""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from ..errors import CRMError, Invalid
from .form import is_charset

LONGEST = 1 << 20
MOST_PROPERTIES = 10_000
COLUMNS = (
    "name",
    "first_name",
    "last_name",
    "nickname",
    "organisation",
    "title",
    "role",
    "emails",
    "phones",
    "addresses",
    "website",
    "birthday",
    "note",
    "uid",
)
_LINE = re.compile(r'(?:[\w-]+\.)?([\w-]+)((?:;(?:[^";:]|"[^"]*")*)*):(.*)', re.DOTALL)
_PARAM = re.compile(r';((?:[^";:]|"[^"]*")*)')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_READ = frozenset(["BEGIN", "END", "FN", "N", "NICKNAME", "ORG", "TITLE", "ROLE", "EMAIL", "TEL", "ADR", "URL", "BDAY", "NOTE", "UID"])
# What says how a value is written or sent, and not where it is used.
_NO_LABEL = frozenset(["internet", "pref", "voice", "text", "video", "msg", "postal", "parcel", "dom", "intl", "uri", "x400"])
_LAST = 101


@attrs.frozen
class _Property:
    """One line of a card, with what its parameters say."""

    name: str
    value: str
    types: Sequence[str]
    order: int

    @property
    def parts(self) -> list[str]:
        """The parts of a value that has several, unescaped."""
        return [_plain(part) for part in re.split(r"(?<!\\);", self.value)]

    @property
    def text(self) -> str:
        return _plain(self.value)

    @property
    def label(self) -> str:
        return " ".join(t for t in self.types if t not in _NO_LABEL)[:60]


def card_records(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any] | CRMError]]:
    """Read cards, each with the number of the line where it begins.

    Args:
        lines: the lines of the file, with their numbers.
    """
    found: list[_Property] = []
    depth = start = last = size = 0
    for last, line in _unfolded(lines):
        prop = _property(line)
        if prop is None:
            continue
        marks = prop.value.strip().upper() == "VCARD"
        if marks and prop.name == "BEGIN":
            depth += 1
            if depth == 1:
                start, found, size = last, [], 0
        elif marks and prop.name == "END" and depth:
            depth -= 1
            if not depth:
                yield start, _card(found)
        elif depth == 1:  # a card within a card is somebody else's
            found.append(prop)
            size += len(line)
            if len(found) > MOST_PROPERTIES or size > LONGEST:
                raise Invalid("import_too_long", first=start, last=last, limit=LONGEST)
    if depth:
        yield start, Invalid("import_unreadable", first=start, last=last, reason="END:VCARD")


def _unfolded(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Join what was folded; of what is not read only the beginning is kept, however long it is."""
    at = length = 0
    held: list[str] = []
    read = quoted = goes_on = False
    for number, raw in lines:
        line = raw.rstrip("\r\n")
        if not (goes_on or line[:1] in (" ", "\t")):
            if any(held):
                yield at, "".join(held)
            at, held, length = number, [], 0
            read, quoted = _is_read(line), _is_quoted(line)
        elif not goes_on:
            line = line[1:]
        goes_on = quoted and line.endswith("=")  # the soft break of quoted-printable text in vCard 2.1
        if read or not held:
            held.append(line[:-1] if goes_on else line)
            length += len(line)
            if length > LONGEST:
                raise Invalid("import_too_long", first=at, last=number, limit=LONGEST)
    if any(held):
        yield at, "".join(held)


def _is_read(line: str) -> bool:
    name = line.partition(":")[0].partition(";")[0].rpartition(".")[2]
    return name.upper() in _READ


def _is_quoted(line: str) -> bool:
    return "QUOTED-PRINTABLE" in line.partition(":")[0].upper()


def _property(line: str) -> _Property | None:
    match = _LINE.fullmatch(line)
    if match is None or match[1].upper() not in _READ:
        return None
    types: list[str] = []
    options: dict[str, str] = {}
    for param in _PARAM.findall(match[2]):
        name, sign, value = param.partition("=")
        if sign and name.upper() != "TYPE":
            options[name.upper()] = value.strip('"')
        else:  # vCard 2.1 writes types without saying so
            types += [t.strip().lower() for t in (value if sign else name).strip('"').split(",")]
    value = match[3]
    if "QUOTED-PRINTABLE" in (options.get("ENCODING", "").upper(), *(t.upper() for t in types)):
        value = _unquoted(value, options.get("CHARSET", ""))
    pref = options.get("PREF", "")
    order = int(pref) if pref.isdecimal() and len(pref) <= 3 else 1 if "pref" in types else _LAST
    return _Property(match[1].upper(), value, types, order)


def _unquoted(value: str, charset: str) -> str:
    return quopri.decodestring(value.encode("utf-8")).decode(charset if is_charset(charset) else "utf-8", "replace")


def _plain(text: str) -> str:
    """Take the escapes away; line ends become blanks, as our fields are lines."""
    plain = _ESCAPED.sub(lambda m: "\n" if m[1] in "nN" else m[1], text)
    return " ".join(plain.split())


def _card(found: Sequence[_Property]) -> dict[str, Any]:
    """Put a card under the columns."""
    of: dict[str, list[_Property]] = {}
    for prop in sorted(found, key=lambda p: p.order):
        of.setdefault(prop.name, []).append(prop)
    parts = of["N"][0].parts if "N" in of else []
    family, given, more, before, behind, *_ = [*parts, "", "", "", "", ""]
    emails = _items(of, "EMAIL", "address")
    organisation = of["ORG"][0].parts[0] if "ORG" in of else ""
    whole = " ".join(part for part in (before, given, more, family, behind) if part)
    values = {
        "name": _first(of, "FN") or whole or organisation or (emails[0]["address"] if emails else ""),
        "first_name": given,
        "last_name": family,
        "organisation": organisation,
        "emails": emails,
        "phones": _items(of, "TEL", "number"),
        "addresses": [made for prop in of.get("ADR", ()) if (made := _address(prop))],
    }
    simple = {"nickname": "NICKNAME", "title": "TITLE", "role": "ROLE", "website": "URL", "birthday": "BDAY", "note": "NOTE", "uid": "UID"}
    values |= {column: _first(of, name) for column, name in simple.items()}
    return {column: values[column] or "" for column in COLUMNS}


def _first(of: Mapping[str, Sequence[_Property]], name: str) -> str:
    return next((prop.text for prop in of.get(name, ()) if prop.text), "")


def _items(of: Mapping[str, Sequence[_Property]], name: str, part: str) -> list[dict[str, Any]]:
    found = [(prop.text.removeprefix("tel:").removeprefix("mailto:"), prop.label) for prop in of.get(name, ())]
    return [{part: value, "label": label, "primary": n == 0} for n, (value, label) in enumerate(found) if value]


def _address(prop: _Property) -> dict[str, Any] | None:
    box, extended, street, city, region, code, country, *_ = [*prop.parts, "", "", "", "", "", "", ""]
    letters = country.upper() if re.fullmatch("[A-Za-z]{2}", country) else ""
    lines = ", ".join(part.strip(" ,") for part in (box, extended, street) if part.strip(" ,"))
    beyond = ", ".join(part for part in (region, "" if letters else country) if part)
    if not (lines or city or beyond or code):
        return None
    return {"street": lines, "city": city, "region": beyond, "postal_code": code, "country": letters, "label": prop.label}
