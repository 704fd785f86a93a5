"""Values as people write them in files, read as the types of fields: numbers with a decimal comma, local dates, words for yes."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from ..entities.custom import CustomSpec
from ..entities.fields import FieldSpec
from ..entities.money import Money, read_decimal
from ..entities.validate import in_one_line, structure
from ..errors import Invalid
from ..messages import closest, redact
from .mapping import Source, Written

Read = Callable[[Any], Any]
_WORDS = dict.fromkeys(("true", "yes", "y", "t", "1", "on"), True) | dict.fromkeys(("false", "no", "n", "f", "0", "off"), False)
_LONGEST_NUMBER = 64
_SPACES = str.maketrans("", "", " \u00a0\u202f\u2009'’")
_NUMBERS = {
    ".": re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d{1,9})?"),
    ",": re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?(,\d*)?([eE][+-]?\d{1,9})?"),
}
_CURRENCY = re.compile(r"([A-Z]{3})? ?(.*?) ?([A-Z]{3})?", re.DOTALL)


def reader(entity: str, field: FieldSpec, source: Source, written: Written) -> Read:
    """Return the function that reads one value of a field; it raises Invalid for what cannot be read.

    A value that is not text, as JSON has them, must be what the field's plain form is; a workbook has dates too.
    """
    currency = source.currency or _own_currency(field) or written.currency
    from_text = _from_text(entity, field, source, written, currency)
    zone = zone_of(source.zone or written.zone) if field.kind == "datetime" else None

    def read(value: Any) -> Any:
        if type(value) is str:
            return from_text(value)
        if isinstance(value, date):
            return _from_date(field.kind, value, zone) or from_text(value.isoformat())
        if field.kind == "money" and isinstance(value, int | Decimal):
            return _money(str(value), currency, ".")
        return _from_json(entity, field, value)

    return read


def _own_currency(field: FieldSpec) -> str:
    return field.currency if isinstance(field, CustomSpec) else ""


def _from_text(entity: str, field: FieldSpec, source: Source, written: Written, currency: str) -> Read:
    point = source.decimal or written.decimal
    match field.kind:
        case "int":
            return lambda text: _whole(number(text, point))
        case "decimal":
            return lambda text: number(text, point)
        case "money":
            return lambda text: _money(text, currency, point)
        case "bool":
            return _boolean
        case "date":
            return _cached(lambda text: _date(text, source.dates or written.dates))
        case "datetime":
            zone = zone_of(source.zone or written.zone)
            return _cached(lambda text: _instant(text, source.dates or written.dates, zone))
        case "enum":
            return lambda text: _member(field.type, text)
        case "json":
            return _json
        case "ref":
            return lambda text: structure(entity, field, text)
        case "str":
            return in_one_line
        case _:
            return str


def _from_json(entity: str, field: FieldSpec, value: Any) -> Any:
    if field.kind == "int" and isinstance(value, Decimal):
        return _whole(read_decimal(value))
    if field.kind == "decimal" and type(value) is int:
        return read_decimal(value)
    if field.kind == "str" and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)[:_LONGEST_NUMBER]
    return structure(entity, field, value)


def _from_date(kind: str, value: date, zone: ZoneInfo | None) -> date | None:
    """Read what a workbook has as a date; None where the field is no date."""
    if kind == "date":
        return value.date() if isinstance(value, datetime) else value
    if kind == "datetime":
        return value.replace(tzinfo=zone) if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=zone)
    return None


def _cached(read: Read) -> Read:
    """Days repeat, and ``strptime`` is slow."""
    return functools.lru_cache(4096)(read)


def number(text: str, point: str) -> Decimal:
    """Read a number with *point* as its decimal point; the other one, spaces and apostrophes may group its digits.

    Raises:
        Invalid: ``import_bad_number``, ``too_big``.
    """
    short = text.translate(_SPACES) if len(text) <= _LONGEST_NUMBER else ""
    if not _NUMBERS[point].fullmatch(short) or not any(c.isdigit() for c in short):
        raise Invalid("import_bad_number", given=redact(text), point=point)
    plain = short.replace("," if point == "." else ".", "").replace(",", ".")
    return read_decimal(plain)


def _whole(value: Decimal) -> int:
    if value != value.to_integral_value():
        raise Invalid("import_bad_number", given="", point="")
    return int(value)


def _money(text: str, currency: str, point: str) -> Money:
    found = _CURRENCY.fullmatch(text[: _LONGEST_NUMBER + 8])
    before, amount, after = found.groups() if found else (None, text, None)
    code = before or after or currency
    if not code:
        raise Invalid("import_no_currency")
    return Money(number(amount, point), code)


def _boolean(text: str) -> bool:
    found = _WORDS.get(text.casefold())
    if found is None:
        raise Invalid("bad_enum", allowed=sorted(_WORDS), given=text[:40])
    return found


def _date(text: str, forms: list[str]) -> date:
    return _moment(text, forms).date() if forms else _iso(text, date.fromisoformat)


def _instant(text: str, forms: list[str], zone: ZoneInfo) -> datetime:
    found = _moment(text, forms) if forms else _iso(text, datetime.fromisoformat)
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _iso(text: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise Invalid("import_bad_date", given=text[:40], forms="2026-12-31") from None


def _moment(text: str, forms: list[str]) -> datetime:
    for form in forms:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007  # the zone is the caller's to add
        except (ValueError, re.error):  # one that names a part twice is no regular expression, as Python makes of it
            continue
    raise Invalid("import_bad_date", given=text[:40], forms=forms)


def zone_of(name: str) -> ZoneInfo:
    """Return an IANA zone.

    Raises:
        Invalid: ``import_bad_zone``.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise Invalid("import_bad_zone", given=name[:60]) from None


def _member(members: Any, text: str) -> Any:
    """Find an enum's member by value or name, as it is or in other capitals."""
    names = {str(m.value): m for m in members}
    alike = {k.casefold(): m for m in members for k in (str(m.value), m.name)}
    found = names.get(text) or alike.get(text.casefold())
    if found is None:
        raise Invalid("bad_enum", allowed=list(names), given=text[:40], suggestion=closest(text, names))
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid("bad_json") from None
