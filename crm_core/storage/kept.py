"""Results of calls as plain JSON, and back: what an idempotency key keeps of its first run.

Records are kept by id and read again, as the actor may see them then. An object of a plugin's own class is kept by its fields and made
again of the class that the call's return annotation names; no class is ever looked up by a stored name. What could not be made again
is not kept: better no first run than a second one with another answer. A class with ``__crm_shown_once__ = True`` says that its objects
are secrets that only the first run is shown: a second one gets None.
"""

from __future__ import annotations

import enum
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

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

_SEQUENCES: Mapping[str, Callable[[list[Any]], Any]] = {
    "$list": list, "$tuple": tuple, "$set": set, "$frozenset": frozenset, "$iterator": iter,
}  # fmt: skip


class Asked(ABC):
    """What reads only when it is asked (a query): not a result to keep, but one to make again."""

    __slots__ = ()

    entity: type[Any]

    @abstractmethod
    def described(self) -> list[Any]:
        """Return what is asked for, with its values, to tell one from another."""


class NotKept(Exception):
    """A value of a kind that cannot be made again; ``kind`` names it."""

    def __init__(self, value: Any) -> None:
        super().__init__(type(value).__qualname__)
        self.kind = type(value).__qualname__


def keep(value: Any, hint: Any = Any) -> Any:
    """Turn a result, of which *hint* is the annotation, into plain JSON.

    Raises:
        NotKept: it holds what could not be made again.
    """
    if getattr(type(value), "__crm_shown_once__", False):
        return None
    match value:
        case enum.Enum():
            if _class(hint, type(value)) is None:
                raise NotKept(value)
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case Entity():
            if value._origin is None:
                raise NotKept(value)
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
        case time():
            return {"$time": value.isoformat()}
        case timedelta():
            return {"$timedelta": [value.days, value.seconds, value.microseconds]}
        case BulkResult():
            return {"$bulk": [[keep(r) for r in value.ok], [[row, e.code] for row, e in value.failed]]}
        case Mapping():
            key, inner = _parts(hint, 2)
            return {"$dict": [[keep(k, key), keep(v, inner)] for k, v in value.items()]}
    tag = f"${type(value).__name__}"
    if tag in _SEQUENCES and type(value) in _SEQUENCES.values():
        return {tag: [keep(v, h) for v, h in zip(value, _each(hint, tag, value), strict=True)]}
    cls = _class(hint, type(value))
    if cls is None or not attrs.has(cls):
        raise NotKept(value)
    hints = _hints(cls)
    return {"$fields": [cls.__qualname__, {a.name: keep(getattr(value, a.name), hints.get(a.name, Any)) for a in attrs.fields(cls)}]}


def keep_items(items: Sequence[Any], hint: Any) -> Any:
    """Turn what an iterator yielded into plain JSON; *hint* is the annotation of the iterator.

    Raises:
        NotKept: one could not be made again.
    """
    return {"$iterator": [keep(v, _parts(hint, 1)[0]) for v in items]}


def restore(kept: Any, hint: Any, session: Session) -> Any:
    """Make a result again; *hint* is the annotation it has.

    Raises:
        NotFound: a record is gone, or hidden from the actor by now.
    """
    if not isinstance(kept, dict):
        member = next((h for h in _choices(hint) if isinstance(h, type) and issubclass(h, enum.Enum)), None)
        return member(kept) if member is not None and kept is not None else kept
    ((tag, value),) = kept.items()
    if tag in _SEQUENCES:
        return _SEQUENCES[tag]([restore(v, h, session) for v, h in zip(value, _each(hint, tag, value), strict=True)])
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
        case "$time":
            return time.fromisoformat(value)
        case "$timedelta":
            return timedelta(*value)
        case "$bulk":
            return BulkResult([restore(r, Any, session) for r in value[0]], [(row, Invalid(code)) for row, code in value[1]])
        case "$dict":
            key, inner = _parts(hint, 2)
            return {restore(k, key, session): restore(v, inner, session) for k, v in value}
    name, fields = value
    cls: Any = next(c for c in _choices(hint) if getattr(c, "__qualname__", "") == name)
    hints = _hints(cls)
    given = [a for a in attrs.fields(cls) if a.init and a.name in fields]
    return cls(**{str(a.alias): restore(fields[a.name], hints.get(a.name, Any), session) for a in given})


def is_read_again(kept: Any) -> bool:
    """Say whether a kept result tells nothing but what is read again, as its reader may see it then."""
    if isinstance(kept, dict):
        ((tag, value),) = kept.items()
        return tag in ("$record", "$ref") or (tag in _SEQUENCES and all(map(is_read_again, value))) or (tag == "$bulk" and not value[1])
    return kept is None or isinstance(kept, bool)


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


def _members(hint: Any) -> Iterator[Any]:
    """Yield what an annotation allows: the members of a union, or itself."""
    yield from get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _choices(hint: Any) -> Iterator[Any]:
    """Yield the classes that an annotation names, without their arguments."""
    return (get_origin(member) or member for member in _members(hint))


def _class(hint: Any, cls: type[Any]) -> Any:
    return cls if cls in _choices(hint) else None


def _parts(hint: Any, count: int) -> tuple[Any, ...]:
    """Return the annotations of what a container holds."""
    return next((args[:count] for member in _members(hint) if len(args := get_args(member)) >= count), (Any,) * count)


def _each(hint: Any, tag: str, value: Sequence[Any]) -> Sequence[Any]:
    """Return the annotation of each item of a sequence."""
    parts = next((get_args(m) for m in _members(hint) if get_origin(m) is tuple), ()) if tag == "$tuple" else ()
    one_by_one = len(parts) == len(value) and Ellipsis not in parts
    return parts if one_by_one else _parts(hint, 1) * len(value)


def _hints(cls: type[Any]) -> Mapping[str, Any]:
    try:
        return get_type_hints(cls)
    except NameError:
        return {}


def returned(function: Any) -> Any:
    """Return a function's return annotation, resolved; Any where it has none or names something out of reach."""
    try:
        return get_type_hints(getattr(function, "__func__", function)).get("return", Any)
    except NameError:
        return Any
