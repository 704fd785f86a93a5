"""Emptying: what stands in a field of whom nobody is to know any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_origin

from ..entities.fields import NOTHING
from ..entities.money import Money

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..entities.fields import FieldSpec

WORD = "erased"
_DAY = date(1900, 1, 1)


def emptied(codec: Codec, record: Any) -> tuple[Any, frozenset[str], Iterator[str]]:
    """Return a copy of a record with its personal fields emptied, the names of those that changed, and the texts that stood there."""
    new = codec.copy(record)
    changed: set[str] = set()
    gone: list[str] = []
    for name, field in codec.fields.items():
        if not field.apart:
            continue
        old, empty = codec.get(record, name), _empty(field, record.id)
        if old != empty:
            codec.set(new, name, empty)
            changed.add(name)
            if isinstance(old, str):
                gone.append(old)
    return new, frozenset(changed), iter(gone)


def _empty(field: FieldSpec, id_: str) -> Any:
    """Return what is nothing in a field: None where it may be, the default of one that has it, else what its type allows."""
    options = field.options
    if field.nullable:
        return None
    if field.kind == "list":
        return []
    if options.unique:
        return f"{WORD}-{id_}"[: field.length] if field.kind == "str" else id_
    if options.factory is not None:
        return options.factory()
    if options.default is not NOTHING:
        return options.default
    return _of_type(field)


def _of_type(field: FieldSpec) -> Any:
    match field.kind:
        case "str" | "text":
            return WORD[: field.length]
        case "json":
            return [] if list in (field.type, get_origin(field.type)) else {}
        case "int" | "decimal":
            least = field.options.min
            return least if least is not None else Decimal(0) if field.kind == "decimal" else 0
        case "bool":
            return False
        case "date":
            return _DAY
        case "datetime":
            return datetime(_DAY.year, 1, 1, tzinfo=UTC)
        case "money":
            return field.options.min if field.options.min is not None else Money(0, "XXX")
        case "enum":
            return next(iter(field.type))
    raise AssertionError(field.kind)
