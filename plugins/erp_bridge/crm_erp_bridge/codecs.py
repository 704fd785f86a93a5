"""Codecs: pure pairs between what an ERP writes and a canonical plain value. Amounts are read, never computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from crm_core import CRMError, Email, Invalid, Money, Phone, valid_currency, valid_zone

from .keeping import taken

_MOST_DIGITS = 60  # before the decimal point and behind it; more would be spelled out by the million


def _valid_currency(options: object, attribute: Any, value: str) -> None:
    if value.startswith("="):
        valid_currency(options, attribute, value[1:])


def _valid_format(options: object, attribute: Any, value: str) -> None:
    day = date(1999, 12, 31)
    try:
        exact = not value or datetime.strptime(day.strftime(value), value).replace(tzinfo=UTC).date() == day
    except (ValueError, re.error):  # one that names a part twice
        exact = False
    if not exact:
        raise ValueError(f"{value} writes no whole date: expected a format like %d.%m.%Y")


@attrs.frozen(kw_only=True)
class Options:
    """What a field's line in the mapping says besides its paths.

    Attributes:
        currency: the path of an amount's currency, or ``=EUR`` where it is always the same.
        values: the ERP's word for each of ours, for ``enum``.
        zone: the IANA zone of instants that the ERP writes without one.
        format: how the ERP writes a date, in the words of ``strptime``: ``%d.%m.%Y``; empty: as ISO 8601 does.
    """

    currency: str = attrs.field(default="", validator=[attrs.validators.instance_of(str), _valid_currency])
    values: Mapping[str, Any] = attrs.field(factory=dict, validator=attrs.validators.instance_of(dict))
    zone: str = attrs.field(default="UTC", validator=[attrs.validators.instance_of(str), valid_zone])
    format: str = attrs.field(default="", validator=[attrs.validators.instance_of(str), _valid_format])


@attrs.frozen
class Codec:
    """Two pure functions; ``to_crm(to_erp(x)) == x`` for every canonical value. None is "not given" on both sides."""

    to_crm: Callable[[Any, Options], Any]
    to_erp: Callable[[Any, Options], Any]


def _bad(given: object, expected: str) -> Invalid:
    # By its type alone: a codec does not know whether the field that it is for is personal. The parked record has the value.
    return Invalid("erp_bridge.bad_value", given=type(given).__name__, expected=expected)


def _text(value: Any, options: Options) -> str:
    if isinstance(value, bool | float | dict | list):
        raise _bad(value, "text")
    if not taken(str(value)):
        raise _bad(value, "text that a database takes")
    return str(value)


def _int(value: Any, options: Options) -> int:
    try:
        if isinstance(value, bool | float):
            raise ValueError
        return int(value)
    except (TypeError, ValueError):
        raise _bad(value, "a whole number") from None


def _exact(value: Any) -> Decimal:
    try:
        if isinstance(value, bool | float):
            raise InvalidOperation
        found = Decimal(value)
    except (TypeError, ValueError, InvalidOperation):
        raise _bad(value, "an exact number as text") from None
    if not found.is_finite() or max(found.adjusted(), -int(found.as_tuple().exponent)) > _MOST_DIGITS:
        raise _bad(value, f"a number with at most {_MOST_DIGITS} digits")
    return found


def _decimal(value: Any, options: Options) -> str:
    found = format(_exact(value), "f")
    found = found.rstrip("0").rstrip(".") if "." in found else found
    return "0" if found == "-0" else found


def _bool(value: Any, options: Options) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = known.get(str(value).strip().lower())
    if found is None:
        raise _bad(value, "true or false")
    return found


def _date(value: Any, options: Options) -> str:
    try:
        if options.format:
            return datetime.strptime(str(value).strip(), options.format).replace(tzinfo=UTC).date().isoformat()
        return date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError:
        raise _bad(value, f"a date like {date(2026, 3, 2).strftime(options.format or '%Y-%m-%d')}") from None


def _date_out(value: Any, options: Options) -> Any:
    return date.fromisoformat(value).strftime(options.format) if options.format else value


def _instant(value: Any, options: Options) -> str:
    try:
        found = datetime.fromisoformat(str(value))
        aware = found if found.utcoffset() is not None else found.replace(tzinfo=ZoneInfo(options.zone))
        return aware.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise _bad(value, "an instant like 2026-03-02T09:00:00+00:00") from None


def _money(value: Any, options: Options) -> dict[str, Any]:
    amount, currency = value
    try:
        return dict(Money(_exact(amount), str(currency)).to_json())
    except CRMError as e:
        raise _bad(f"{amount} {currency}", "an amount and its currency") from e


def _enum(value: Any, options: Options) -> Any:
    for ours, theirs in options.values.items():
        if str(value) in ([str(t) for t in theirs] if isinstance(theirs, list) else [str(theirs)]):
            return ours
    raise _bad(value, f"one of {', '.join(map(str, options.values.values()))}")


def _enum_out(value: Any, options: Options) -> Any:
    if value not in options.values:
        raise _bad(value, f"one of {', '.join(options.values)}")
    theirs = options.values[value]
    return theirs[0] if isinstance(theirs, list) else theirs


def _email(value: Any, options: Options) -> str:
    return Email(str(value)).normalised().address


def _phone(value: Any, options: Options) -> str:
    return Phone(str(value)).normalised().number


def _same(value: Any, options: Options) -> Any:
    return value


CODECS: Mapping[str, Codec] = {
    "text": Codec(_text, _same),
    "int": Codec(_int, _same),
    "decimal": Codec(_decimal, _same),
    "bool": Codec(_bool, _same),
    "date": Codec(_date, _date_out),
    "instant": Codec(_instant, _same),
    "money": Codec(_money, _same),
    "enum": Codec(_enum, _enum_out),
    "email": Codec(_email, _same),
    "phone": Codec(_phone, _same),
    "ref": Codec(_text, _same),
}
"""By the name that a mapping writes. ``email`` and ``phone`` are the primary one of a list; ``ref`` is looked up in the bindings."""
