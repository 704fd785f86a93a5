"""Factory: valid records, commands and events made from what their classes declare. The same seed makes the same ones."""

from __future__ import annotations

import enum
import random
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs

from ..entities.customer import Contact
from ..entities.entity import Entity
from ..entities.fields import FieldSpec, Ref
from ..entities.meta import EntityMeta
from ..entities.money import Money
from ..entities.values import Address, Email, Phone
from ..errors import CRMError, Invalid, Refused
from ..events.event import Event
from ..hooks.commands import CommandField, command_fields

if TYPE_CHECKING:
    from ..session import Session

E = TypeVar("E", bound=Entity)
C = TypeVar("C")
V = TypeVar("V", bound=Event[Any])
F = TypeVar("F", bound=Callable[..., Any])
Example = Callable[..., Any]
REPAIRS = 3
_STAMPED = attrs.fields_dict(cast(Any, Event)).keys()
DAY = datetime(2026, 1, 1, 9, tzinfo=UTC)


def example(cls: type[Any] | Callable[..., Any]) -> Callable[[F], F]:
    """Say in the decorated function how a good object of *cls* is made, where what it declares is not enough.

    The function gets a :class:`Maker` and returns a record (not stored yet), a command or an event::

        @example(Redeem)
        def redeem(a: Maker) -> Redeem:
            return Redeem(account=a.make(Account).ref, points=5)

    Where *cls* is a port of the plugin's own, the function takes nothing and returns an implementation for the conformance kit. Where it is
    a method of a service (``Loyalty.redeem``), the function returns its arguments by name.
    """

    def mark(fn: F) -> F:
        fn.__crm_example__ = cls  # type: ignore[attr-defined]  # a mark that `examples_in` looks for
        return fn

    return mark


def examples_in(module: types.ModuleType) -> dict[Any, Example]:
    """Return the examples of a module by what they are of."""
    return {fn.__crm_example__: fn for fn in vars(module).values() if hasattr(fn, "__crm_example__")}


@attrs.frozen
class Maker:
    """What an example works with: a session, and the factory to make what it needs beside.

    Attributes:
        session: of a system actor.
        n: counts up, for what must be unique.
    """

    session: Session
    factory: Factory
    n: int

    def make(self, entity: type[E], **fields: Any) -> E:
        """Store a valid record."""
        return self.factory.make(self.session, entity, **fields)


class Factory:
    """Makes what is valid: required fields filled, references made, unique values counted up.

    Where a plugin's hook refuses what was made and names the fields, those are filled too; an :func:`example` says what remains.

    Args:
        seed: chooses the values.
        examples: functions by class, see :func:`examples_in`.
    """

    def __init__(self, seed: int = 0, examples: Mapping[Any, Example] | None = None) -> None:
        self._random = random.Random(seed)
        self._examples = dict(examples or {})
        self._n = 0
        self._made: dict[tuple[str, type[Any]], Ref[Any]] = {}
        self._wanted: dict[type[Any], set[str]] = {}

    def make(self, session: Session, entity: type[E], **fields: Any) -> E:
        """Store a valid record with these fields.

        Raises:
            CRMError: what the pipeline says to it, after what could be mended was mended.
        """
        record = self.build(session, entity, **fields)
        for attempt in range(REPAIRS + 1):
            try:
                made = session.create(record)
                self._made[session.actor.tenant, entity] = made.ref
                return made
            except (Invalid, Refused) as e:
                if attempt == REPAIRS or not self._repair(session, record, e, fields):
                    raise
        raise AssertionError("unreachable")

    def build(self, session: Session, entity: type[E], **fields: Any) -> E:
        """Return a valid record that is not stored."""
        if entity in self._examples:
            record: E = self._exemplary(session, entity)
            for name, value in fields.items():
                setattr(record, name, value)
            return record
        codec = session.crm.codec(entity)
        own = [f for f in codec.writable if f.extension is None and f.options.init and f.name not in fields]
        wanted = self._wanted.get(entity, ())
        return entity(**{f.name: self._field(session, f) for f in own if f.required or f.name in wanted}, **fields)

    def command(self, session: Session, cls: type[C], **given: Any) -> C:
        """Return a valid command."""
        if cls in self._examples and not given:
            found: C = self._exemplary(session, cls)
            return found
        made: C = self._command(session, cls, command_fields(cls), given)
        return made

    def arguments(self, session: Session, method: Callable[..., Any]) -> Mapping[str, Any]:
        """Return what a service's method cannot do without, by name.

        Raises:
            TypeError: there is no value of a type that is known: give an example.
        """
        if method in self._examples:
            found: Mapping[str, Any] = self._exemplary(session, method)
            return found
        hints, (_, *asked) = get_type_hints(method), signature(method).parameters.values()
        wanted = [p.name for p in asked if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return {name: self._argument(session, hints.get(name), name) for name in wanted}

    def event(self, session: Session, cls: type[V], **given: Any) -> V:
        """Return an event of this class about a record that is there."""
        if cls in self._examples and not given:
            found: V = self._exemplary(session, cls)
            return found
        return cls(**{n: self.value(session, hint) for n, hint in event_fields(cls).items() if n not in given}, **given)

    def reference(self, session: Session, entity: type[E]) -> Ref[E]:
        """Return a reference to a record of the session's tenant that was made before, or is made now; of ``Entity``, to any record."""
        if entity in (Entity, Any):  # any record will do
            entity = cast(type[E], Contact)
        known = self._made.get((session.actor.tenant, entity))
        return known if known is not None and session.find(entity, known) is not None else self.make(session, entity).ref

    def value(self, session: Session, hint: Any, name: str = "") -> Any:
        """Return a value of a type.

        Raises:
            TypeError: there is none that is known: give an example.
        """
        origin, args = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self.value(session, next(a for a in args if a is not type(None)), name)
        if origin is Ref:
            return self.reference(session, args[0])
        if origin is Literal:
            return args[0]
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {self.value(session, args[0], name): self.value(session, args[1], name)}
        if isinstance(origin, type) and issubclass(origin, Iterable):
            items = (self.value(session, args[0], name),)
            return items if origin is tuple else set(items) if issubclass(origin, set | frozenset) else list(items)
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return next(iter(hint))
        if isinstance(hint, EntityMeta):
            return self.reference(session, hint)
        if isinstance(hint, type) and hint in self._examples:
            return self._exemplary(session, hint)
        made = self._plain(name).get(hint)
        if made is not None:
            return made()
        if isinstance(hint, type) and attrs.has(hint):
            hints = get_type_hints(hint)
            return hint(**{a.name: self.value(session, hints[a.name], a.name) for a in attrs.fields(hint) if a.default is attrs.NOTHING})
        raise TypeError(f"no value of {hint!r} is known: give an example")

    # -- inside -------------------------------------------------------------------------------------------------------------------

    def _argument(self, session: Session, hint: Any, name: str) -> Any:
        if isinstance(hint, EntityMeta):
            made: Ref[Any] = self.reference(session, cast(type[Any], hint))
            return session.get(made.entity, made)
        return self.value(session, hint, name)

    def _exemplary(self, session: Session, cls: Any) -> Any:
        self._n += 1
        return self._examples[cls](Maker(session, self, self._n))

    def _plain(self, name: str) -> Mapping[Any, Callable[[], Any]]:
        self._n += 1
        n = self._n
        return {
            str: lambda: f"{name.replace('_', ' ').capitalize() or 'Text'} {n}",
            int: lambda: self._random.randint(1, 9),
            bool: lambda: True,
            Decimal: lambda: Decimal(self._random.randint(1, 900)) / 100,
            Money: lambda: Money(Decimal(self._random.randint(100, 90_000)) / 100, "EUR"),
            datetime: lambda: DAY + timedelta(minutes=self._random.randint(0, 600)),
            date: lambda: DAY.date() + timedelta(days=self._random.randint(0, 30)),
            time: lambda: time(9),
            Email: lambda: Email(f"person{n}@example.com", primary=True),
            Phone: lambda: Phone(f"+49 30 {5_000_000 + n}", primary=True),
            Address: lambda: Address(street=f"High Street {n}", city="Berlin", country="DE", primary=True),
            Any: dict,
        }

    def _field(self, session: Session, field: FieldSpec) -> Any:
        match field.kind:
            case "str" if field.options.format:
                return {"currency": "EUR", "zone": "Europe/Berlin"}[field.options.format]
            case "str" | "text":
                return str(self.value(session, str, field.name))[: field.length]
            case "ref":
                assert field.target is not None
                return self.make(session, field.target).ref if field.options.unique else self.reference(session, field.target)
            case "list":
                return [self.value(session, field.type)]
            case "json":
                return [] if (get_origin(field.type) or field.type) is list else {}
            case _:
                return _within(field, self.value(session, field.type, field.name))

    def _command(self, session: Session, cls: type[Any], fields: Mapping[str, CommandField], given: Mapping[str, Any]) -> Any:
        values = {f.name: self._command_field(session, f) for f in fields.values() if f.required and f.name not in given}
        return cls(**values, **given)

    def _command_field(self, session: Session, field: CommandField) -> Any:
        value = self._field(session, field.spec) if field.spec else self._command(session, field.part or object, field.fields, {})
        return [value] if field.many else value

    def _repair(self, session: Session, record: Any, error: CRMError, given: Collection[str]) -> bool:
        """Fill the empty fields that an error names; say whether there were any."""
        codec = session.crm.codec(type(record))
        named = {d.field for d in error.details} | {str(error.params.get("field", ""))}
        empty = [n for n in sorted(named) if n in codec.fields and n not in given and not codec.get(record, n)]
        for name in empty:
            field = codec.fields[name]
            codec.set(record, name, self._field(session, field) or {"example": "made"})
        self._wanted.setdefault(type(record), set()).update(empty)
        return bool(empty)


def event_fields(cls: type[Any]) -> dict[str, Any]:
    """Return the types of an event's own fields, and of ``record``, by name."""
    hints = get_type_hints(cls, localns=dict(cls.__event_locals__))
    found = {n: hints[n] for n in attrs.fields_dict(cls) if n not in _STAMPED}
    return {"record": types.GenericAlias(Ref, (subject_of(cls),)), **found}


def subject_of(cls: type[Any]) -> type[Any]:
    """Return the entity that an event's class is about.

    Raises:
        TypeError: it does not say: ``class Won(Event[Opportunity], ...)``.
    """
    for base in _generic_bases(cls):
        (entity,) = get_args(base)
        if isinstance(entity, EntityMeta):
            return entity
    raise TypeError(f"{cls.__name__} does not say which entity it is about")


def _generic_bases(cls: type[Any]) -> Iterator[Any]:
    for each in cls.__mro__:
        yield from (b for b in vars(each).get("__orig_bases__", ()) if get_origin(b) is not None and len(get_args(b)) == 1)


def _within(field: FieldSpec, value: Any) -> Any:
    low, high = field.options.min, field.options.max
    if isinstance(value, Money):
        return Money(_between(value.amount, low, high), value.currency)
    return value if low is None and high is None else _between(value, low, high)


def _between(value: Any, low: Any, high: Any) -> Any:
    return low if low is not None and value < low else high if high is not None and value > high else value
