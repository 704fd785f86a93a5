"""Results of calls as plain JSON, and back: what an idempotency key keeps of its first run.

Records are kept by id and read again, as the actor may see them then. An object of a plugin's own class is kept by its fields and made
again of the class that the call's return annotation names; no class is ever looked up by a stored name.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import attrs

from .. import errors
from ..entities.entity import Entity
from ..entities.fields import Ref
from ..entities.meta import spec
from ..entities.money import Money
from ..errors import CRMError, Detail, Invalid
from .changeset import BulkResult

if TYPE_CHECKING:
    from ..session import Session


def keep(value: Any) -> Any:
    """Turn a result into plain JSON."""
    match value:
        case None | bool() | int() | float() | str():
            return value.value if isinstance(value, enum.Enum) else value
        case Entity():
            return {"$record": [spec(type(value)).name, value.id]}
        case Ref():
            return {"$ref": [spec(value.entity).name, value.id]}
        case Money():
            return {"$money": [str(value.amount), value.currency]}
        case Decimal():
            return {"$decimal": str(value)}
        case datetime():
            return {"$datetime": value.isoformat()}
        case date():
            return {"$date": value.isoformat()}
        case enum.Enum():
            return value.value
        case BulkResult():
            return {"$bulk": [[keep(r) for r in value.ok], [[row, e.code] for row, e in value.failed]]}
        case dict():
            return {"$dict": [[keep(k), keep(v)] for k, v in value.items()]}
        case list() | tuple() | set() | frozenset():
            return [keep(v) for v in value]
    if attrs.has(type(value)):
        return {"$fields": {a.name: keep(getattr(value, a.name)) for a in attrs.fields(type(value))}}
    return None


def restore(kept: Any, hint: Any, session: Session) -> Any:
    """Make a result again; *hint* is the annotation it should have.

    Raises:
        NotFound: a record is gone, or hidden from the actor by now.
    """
    if isinstance(kept, list):
        inner = get_args(hint)[0] if get_args(hint) else Any
        return [restore(v, inner, session) for v in kept]
    if not isinstance(kept, dict):
        member = _member(hint, enum.Enum)
        return member(kept) if member is not None and kept is not None else kept
    ((tag, value),) = kept.items()
    match tag:
        case "$record":
            return session.get(session.crm.entity(value[0]), value[1])
        case "$ref":
            return Ref(session.crm.entity(value[0]), value[1])
        case "$money":
            return Money(*value)
        case "$decimal":
            return Decimal(value)
        case "$datetime":
            return datetime.fromisoformat(value)
        case "$date":
            return date.fromisoformat(value)
        case "$bulk":
            return BulkResult([restore(r, Any, session) for r in value[0]], [(row, Invalid(code)) for row, code in value[1]])
        case "$dict":
            return {restore(k, Any, session): restore(v, Any, session) for k, v in value}
    cls = next((h for h in (hint, *get_args(hint)) if isinstance(h, type) and attrs.has(h)), None)
    if cls is None:
        return {n: restore(v, Any, session) for n, v in value.items()}
    hints = get_type_hints(cls)
    given = [a for a in attrs.fields(cls) if a.init and a.name in value]
    return cls(**{str(a.alias): restore(value[a.name], hints[a.name], session) for a in given})


def keep_error(error: CRMError) -> dict[str, Any]:
    """Turn an error that a call raised into plain JSON."""
    kind = next(c.__name__ for c in type(error).__mro__ if c.__module__ == errors.__name__)
    return {"type": kind, "code": error.code, "params": _plain(error.params), "details": [_plain(attrs.asdict(d)) for d in error.details]}


def restore_error(kept: Mapping[str, Any]) -> CRMError:
    """Make an error again; a plugin's own class comes back as the core's class that it is based on."""
    made: CRMError = getattr(errors, kept["type"])(kept["code"], details=[Detail(**d) for d in kept["details"]], **kept["params"])
    return made


def _plain(value: Any) -> Any:
    """Reduce what a message is filled with to JSON, as a problem document does."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(v) for v in value]
    return str(value)


def _member(hint: Any, base: type[Any]) -> Any:
    """Return the class under *base* that an annotation, optional or not, names."""
    return next((h for h in (hint, *get_args(hint)) if isinstance(h, type) and get_origin(h) is None and issubclass(h, base)), None)


def returned(function: Any) -> Any:
    """Return a function's return annotation, resolved; Any where it has none or names something out of reach."""
    try:
        return get_type_hints(getattr(function, "__func__", function)).get("return", Any)
    except NameError:
        return Any
