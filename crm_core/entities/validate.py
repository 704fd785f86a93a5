"""Check one value of a field: what is wrong with it, in codes; and read typed values from plain JSON."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, Union, cast, get_args, get_origin

import attrs

from ..errors import CRMError, Detail, Invalid
from ..messages import redact
from .fields import FieldSpec, Ref
from .formats import wrong_format
from .meta import EntityMeta, spec
from .money import WIDE, Money

Problem = tuple[str, dict[str, Any]]
MAX_INTEGER = 2**63 - 1
MAX_JSON = 1_000_000
MAX_NESTED = 100
MAX_ITEMS = 1_000
MAX_PART = 1_000
_SCALARS = (str, int, bool, float, types.NoneType)
_GIVEN = frozenset({"given", "value", "suggestion"})  # parameters that tell what was given, or nearly
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")  # written out: twice as quick as a counted group


def is_id(value: object) -> bool:
    """Say whether *value* is an id in canonical form: a lower-case UUID of 36 characters."""
    return type(value) is str and _ID.match(value) is not None


def _wrong(expected: str, value: Any) -> Iterator[Problem]:
    yield "wrong_type", {"expected": expected, "given": type(value).__name__}


def _text(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if type(value) is not str:
        yield from _wrong("str", value)
        return
    limit = field.length or 255
    if len(value) > limit:
        yield "too_long", {"length": len(value), "limit": limit}
    elif not (one_line(value) if field.kind == "str" else "\x00" not in value and encodable(value)):
        yield "control_character", {}
    elif field.options.format:
        yield from wrong_format(field.options.format, value)


def encodable(value: str) -> bool:
    """Say whether a text has no half of a surrogate pair, which no database takes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# All that ends a line somewhere, or commands a terminal; the tab is a space to most.
_CONTROL = "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]"


def one_line(value: str) -> bool:
    """Say whether a text can stand in a line: the subject of a mail, the line of a log, a title."""
    return value.isprintable() or not (re.search(_CONTROL, value) or not encodable(value))


def in_one_line(value: str) -> str:
    """Return a text with a space for each break of a line and other control character, as cells of files have them."""
    return value if value.isprintable() else re.sub(_CONTROL, " ", value)


def _bounds(field: FieldSpec, value: Any) -> Iterator[Problem]:
    low, high = field.options.min, field.options.max
    if (low is not None and value < low) or (high is not None and value > high):
        yield "out_of_range", {name: str(bound) for name, bound in (("min", low), ("max", high)) if bound is not None}


def _int(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if type(value) is not int:
        yield from _wrong("int", value)
    elif abs(value) > MAX_INTEGER:
        yield "too_big", {"limit": str(MAX_INTEGER)}
    else:
        yield from _bounds(field, value)


def decimal_problem(value: Decimal, scale: int) -> Problem | None:
    """Say why a decimal cannot be kept exactly at *scale* digits after the point in 64 bits, or None."""
    if not value.is_finite():
        return "not_finite", {}
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if value and value.adjusted() + scale > 18:
        return "too_big", {"limit": str(Decimal(MAX_INTEGER).scaleb(-scale, WIDE))}
    excess = -exponent - scale
    if excess > 0 and (excess > len(digits) or any(digits[-excess:])) and value:
        return "too_precise", {"scale": scale}
    if value.copy_abs().scaleb(scale, WIDE) > MAX_INTEGER:
        return "too_big", {"limit": str(Decimal(MAX_INTEGER).scaleb(-scale, WIDE))}
    return None


def _decimal(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if type(value) is int:
        value = Decimal(value) if abs(value) <= MAX_INTEGER else Decimal("1e99")
    if type(value) is not Decimal:
        yield from _wrong("Decimal", value)
        return
    problem = decimal_problem(value, field.options.scale)
    if problem:
        yield problem
    else:
        yield from _bounds(field, value)


def _money(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if type(value) is not Money:
        yield from _wrong("Money", value)
        return
    problem = decimal_problem(value.amount, field.options.scale)
    if problem:
        yield problem
    else:
        yield from _bounds(field, value.amount)


def _bool(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if type(value) is not bool:
        yield from _wrong("bool", value)


def _date(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if type(value) is not date:
        yield from _wrong("date", value)
    else:
        yield from _bounds(field, value)


def _datetime(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if not isinstance(value, datetime):
        yield from _wrong("datetime", value)
    elif value.tzinfo is None or value.utcoffset() is None:
        yield "naive_datetime", {}
    elif not _in_every_zone(value):
        yield "out_of_range", {"min": "0002-01-01", "max": "9998-12-31"}
    else:
        yield from _bounds(field, value)


def _in_every_zone(value: datetime) -> bool:
    """Say whether an instant has a date everywhere: at the ends of the calendar, half of the world has none."""
    try:
        return 1 < value.astimezone(UTC).year < 9999
    except OverflowError:
        return False


def _enum(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if type(value) is not field.type:
        yield "bad_enum", {"allowed": ", ".join(str(m.value) for m in field.type)}


def _ref(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if type(value) is not Ref or value.entity is not field.target:
        target = field.target.__name__ if field.target else ""
        given = f"Ref[{value.entity.__name__}]" if type(value) is Ref else type(value).__name__
        yield "wrong_type", {"expected": f"Ref[{target}]", "given": given}
    elif not is_id(value.id):
        yield "bad_ref", {"target": spec(value.entity).name}


def _json(field: FieldSpec, value: Any) -> Iterator[Problem]:
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError as e:
        yield ("cyclic" if "Circular" in str(e) else "bad_json"), {}
    except (TypeError, RecursionError):
        yield "bad_json", {}
    else:
        if len(text) > MAX_JSON:
            yield "too_long", {"length": len(text), "limit": MAX_JSON}
        elif "\\u0000" in text or ("\\ud" in text and not encodable(json.dumps(value, ensure_ascii=False))):
            yield "control_character", {}
        elif _is_deep(value):
            yield "too_deep", {}
        elif json.loads(text) != value:
            yield "bad_json", {}
        elif not _is_of(field.type, value):
            yield from _wrong(_written(field.type), value)


def _is_of(hint: Any, value: Any) -> bool:
    """Say whether JSON has the shape of an annotation: whoever reads ``dict[str, str]`` asks for its items, and for words in them."""
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        return any(_is_of(each, value) for each in parts)
    if kind in (dict, list):
        items = value.values() if isinstance(value, dict) else value
        return isinstance(value, kind) and (not parts or all(_is_of(parts[-1], each) for each in items))
    return kind not in _SCALARS or type(value) is kind or (kind is float and type(value) is int)


def _written(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def _is_deep(value: Any) -> bool:
    """Say whether a value is nested more than 100 levels deep: whoever copies or walks it would run out of stack."""
    level, depth = [value], 0
    while level and depth <= MAX_NESTED:
        parts = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level, depth = list(chain.from_iterable(parts)), depth + 1
    return depth > MAX_NESTED


def _list(field: FieldSpec, value: Any) -> Iterator[Problem]:
    if not isinstance(value, list | tuple):
        yield from _wrong(f"list[{field.type.__name__}]", value)
        return
    if len(value) > MAX_ITEMS:
        yield "too_long", {"length": len(value), "limit": MAX_ITEMS}
    elif any(type(item) is not field.type for item in value):
        given = next(type(item).__name__ for item in value if type(item) is not field.type)
        yield "wrong_type", {"expected": field.type.__name__, "given": given}
    elif odd := [p for item in value if type(p := getattr(item, "primary", False)) is not bool]:
        yield "wrong_type", {"expected": "bool", "given": type(odd[0]).__name__}
    elif not hasattr(field.type, "normalised") and (problem := next(filter(None, map(_parts, value)), None)):
        yield problem
    elif sum(getattr(item, "primary", False) for item in value) > 1:
        yield "two_primaries", {}


def _parts(item: Any) -> Problem | None:
    """Say what is wrong with the parts of a list's item that has no normal form to be brought to."""
    for value in attrs.astuple(item, recurse=False):
        if not isinstance(value, str | bool | int | None):
            return "wrong_type", {"expected": "str", "given": type(value).__name__}
        if isinstance(value, str) and len(value) > MAX_PART:
            return "too_long", {"length": len(value), "limit": MAX_PART}
        if isinstance(value, str) and not one_line(value):
            return "control_character", {}
    return None


_CHECKS: dict[str, Callable[[FieldSpec, Any], Iterator[Problem]]] = {
    "str": _text,
    "text": _text,
    "int": _int,
    "decimal": _decimal,
    "money": _money,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "enum": _enum,
    "ref": _ref,
    "json": _json,
    "list": _list,
}


def problems(entity: str, field: FieldSpec, value: Any, row: int | None = None) -> Iterator[Detail]:
    """Say all that is wrong with one value."""
    if value is None:
        if not field.nullable:
            yield Detail(entity, field.name, "required", "", {}, row)
        return
    for code, params in _CHECKS[field.kind](field, value):
        yield Detail(entity, field.name, code, shown(field, value), params, row)


def shown(field: FieldSpec, value: Any) -> str:
    """Write a value for an error; of what is personal not even a number or date, which would show as they are."""
    return type(value).__name__ if field.apart else redact(value)


def withheld(field: FieldSpec, detail: Detail) -> Detail:
    """Return what is wrong with a value without the value, where its field is personal: an error goes into logs and over the wire."""
    if not field.apart:
        return detail
    return attrs.evolve(detail, value="", params={name: v for name, v in detail.params.items() if name not in _GIVEN})


def is_sound(field: FieldSpec, value: Any) -> bool:
    """Say whether nothing is wrong with a value that is not None."""
    return next(_CHECKS[field.kind](field, value), None) is None


_STRUCTURED = frozenset({"money", "ref", "decimal", "date", "datetime", "enum", "list"})


def structure(entity: str, field: FieldSpec, value: Any) -> Any:
    """Turn plain JSON into the field's type; what is typed already, or cannot be read, stays for :func:`problems` to judge.

    Raises:
        Invalid: a value of the right shape is wrong inside (an unknown currency, a bad e-mail address).
    """
    if value is None or isinstance(value, bool) or field.kind not in _STRUCTURED:
        return value
    try:
        match field.kind:
            case "money" if isinstance(value, dict) and set(value) == {"amount", "currency"}:
                return Money(value["amount"], value["currency"])
            case "ref" if isinstance(value, str):
                return Ref(cast("type[Any]", field.target), value)
            case "ref" if isinstance(type(value), EntityMeta):
                return value.ref
            case "decimal" if isinstance(value, str) and len(value) <= 60:
                return Decimal(value)
            case "date" if isinstance(value, str) and len(value) <= 10:
                return date.fromisoformat(value)
            case "datetime" if isinstance(value, str) and len(value) <= 40:
                return datetime.fromisoformat(value)
            case "enum" if isinstance(value, str | int) and not isinstance(value, field.type):
                return field.type(value)
            case "list" if isinstance(value, list | tuple):
                return [field.type(**v) if isinstance(v, dict) else v for v in value]
    except CRMError as e:
        wrong = withheld(field, Detail(entity, field.name, e.code, shown(field, value), e.params))
        raise Invalid(details=[wrong]) from (None if field.apart else e)
    except (ValueError, TypeError, InvalidOperation):
        return value
    return value


def digits(value: Decimal | int) -> str:
    """Write a number out, without an exponent, which not every reader of JSON takes in a text."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def plain(field: FieldSpec, value: Any) -> Any:
    """Turn a typed value into plain JSON, losslessly."""
    if value is None:
        return None
    match field.kind:
        case "money":
            return {"amount": digits(value.amount), "currency": value.currency}
        case "ref":
            return value.id
        case "decimal":
            return digits(value)
        case "date":
            return value.isoformat()
        case "datetime":
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case "enum":
            return value.value
        case "list":
            return [attrs.asdict(v) for v in value]
        case _:
            return value
