"""Event: what happened to a record, typed and versioned; and its way to plain JSON and back."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from inspect import get_annotations
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast, dataclass_transform, get_args, get_origin, get_type_hints

import attrs

from ..classes import frozen
from ..entities.custom_kind import PREFIX
from ..entities.fields import Ref
from ..entities.meta import spec
from ..entities.sealing import ERASED
from ..entities.validate import structure
from ..errors import Invalid, LoadError, NotReadable, SchemaBehind

if TYPE_CHECKING:
    from cattrs import Converter

    from ..entities.entity import Entity
    from .journal import Entry

E = TypeVar("E", bound="Entity")
V = TypeVar("V", bound="Event[Any]")
Payload = dict[str, Any]
Upcast = Callable[[Payload], Payload]


def _attributes(cls: Any) -> AbstractSet[str]:
    return attrs.fields_dict(cls).keys()


@frozen
class Change:
    """What one field was before and is after."""

    old: Any
    new: Any


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
class _Declared:
    """Makes a frozen attrs class of every subclass; apart from :class:`Event`, so that type checkers see the fields of both."""

    __event_name__: ClassVar[str] = ""
    __event_version__: ClassVar[int] = 1
    __event_verb__: ClassVar[str] = ""
    __event_upcasts__: ClassVar[dict[int, Upcast]]
    __event_locals__: ClassVar[Mapping[str, Any]] = {}
    __event_personal__: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, *, name: str = "", version: int = 1, verb: str = "", personal: Collection[str] = ()) -> None:
        super().__init_subclass__()
        cls.__event_name__, cls.__event_version__, cls.__event_verb__ = name, version, verb
        cls.__event_upcasts__ = {}
        if "<locals>" in cls.__qualname__:
            cls.__event_locals__ = dict(sys._getframe(1).f_locals)
        if get_annotations(cls):  # else the base's methods serve
            frozen(cls, kw_only=True)
        cls.__event_personal__ = frozenset(personal)
        for field in sorted(cls.__event_personal__ - _attributes(cls)) if personal else ():
            raise LoadError("event_personal", event=name, field=field)

    if not TYPE_CHECKING:  # a type checker would take this for the permission to read any name

        def __getattr__(self, name: str) -> Any:
            if name in _attributes(type(self)):
                raise NotReadable(entity=type(self).__name__, field=name, grant=f'"{spec(self.record.entity).name}:read"')
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class Event(_Declared, Generic[E]):
    """Something that happened to a record. Declare it with typed fields, a name that starts with the plugin's, and a version::

        class OpportunityWon(Event[Opportunity], name="sales.opportunity_won", version=1):
            amount: Money

    Whoever emits it gives ``record`` and the fields. What ``personal=("phone",)`` names is kept apart in the journal, as personal fields of
    a record are; when the record is erased it is gone, and asking for it raises NotReadable.

    A field with a default may be added at any time; for any other change count the version up and say with :meth:`upcast` how old
    payloads are read.

    Attributes:
        id: a UUIDv7, the same at every delivery: the idempotency key for effects outside the database.
        record: the record it happened to.
        at: when (UTC).
        actor: the id of who did it.
    """

    id: str = attrs.field(init=False, eq=False)
    record: Ref[E]
    at: datetime = attrs.field(init=False, eq=False)
    actor: str = attrs.field(init=False, eq=False)

    @classmethod
    def upcast(cls, version: int) -> Callable[[Upcast], Upcast]:
        """Read payloads of *version* with the decorated function, which returns the payload of the next version.

        Raises:
            LoadError: there is a function for that version already, or no newer version.
        """

        def declare(fn: Upcast) -> Upcast:
            if version in cls.__event_upcasts__ or not 0 < version < cls.__event_version__:
                raise LoadError("event_bad_upcast", event=cls.__event_name__, version=version, current=cls.__event_version__)
            cls.__event_upcasts__[version] = fn
            return fn

        return declare

    @property
    def is_automatic(self) -> bool:
        """Whether the pipeline emits it of itself, for every write."""
        return bool(self.__event_verb__)

    def custom_names(self) -> list[str]:
        """Return the names of the custom fields that the event tells of."""
        return []

    def without(self, fields: Collection[str]) -> Self:
        """Return a copy for one subscriber, in which *fields* cannot be read: asking for one raises NotReadable."""
        hidden = {f for f in fields if f in _attributes(type(self)) and f not in _STAMPED}
        return _made(type(self), {n: _own(v) for n, v in self.__dict__.items() if n not in hidden})


_STAMPED = frozenset(get_annotations(Event))


class _Automatic(Event[E], Generic[E]):
    """What the pipeline journals of every write, whichever way it came."""

    def custom_names(self) -> list[str]:
        return [n for n in self.__dict__[_PARTS[type(self)]] if n.startswith(PREFIX)]

    def without(self, fields: Collection[str]) -> Self:
        part = _PARTS[type(self)]
        shown = MappingProxyType({n: _own(v) for n, v in self.__dict__[part].items() if n not in fields})
        return _made(type(self), {**self.__dict__, part: shown})


def _made(cls: type[V], values: Mapping[str, Any]) -> V:
    """Make an event of values that were checked when it was emitted."""
    made = object.__new__(cls)
    made.__dict__.update(values)
    return made


def _own(value: Any) -> Any:
    """Copy what a subscriber could change in place: the next one gets the event as it was."""
    if isinstance(value, Change):
        return Change(_own(value.old), _own(value.new))
    return copy.deepcopy(value) if isinstance(value, list | dict) else value


class Created(_Automatic[E], Generic[E], verb="created"):
    """A record is new. ``new`` holds its fields that are not empty, typed, by name."""

    new: Mapping[str, Any]


class Updated(_Automatic[E], Generic[E], verb="updated"):
    """A record's fields changed."""

    changes: Mapping[str, Change]


class Deleted(_Automatic[E], Generic[E], verb="deleted"):
    """A record is gone; ``old`` holds its last values."""

    old: Mapping[str, Any]


class Restored(_Automatic[E], Generic[E], verb="restored"):
    """A deleted record is back."""

    changes: Mapping[str, Change]


_AUTOMATIC: Mapping[str, type[Event[Any]]] = MappingProxyType({c.__event_verb__: c for c in (Created, Updated, Deleted, Restored)})
_PARTS = {c: next(iter(get_annotations(c))) for c in _AUTOMATIC.values()}


def event_name(event: Any) -> str:
    """Return the name of an event class, or of an automatic event of an entity: ``Created[Account]`` is ``account.created``.

    Raises:
        LoadError: it is no event, or has no name.
    """
    origin = get_origin(event) or event
    if isinstance(origin, type) and issubclass(origin, Event):
        entity = get_args(event)[0] if get_args(event) else None
        if origin.__event_verb__ and isinstance(entity, type):
            return f"{spec(entity).name}.{origin.__event_verb__}"
        if origin.__event_name__:
            return origin.__event_name__
    raise LoadError("not_an_event", given=getattr(event, "__name__", repr(event)[:60]))


def subject_of(event: Any) -> type[Any] | None:
    """Return the entity that an event is about; None where it names none."""
    bases: tuple[Any, ...] = (event, *getattr(event, "__orig_bases__", ()))
    entity = next((get_args(base)[0] for base in bases if get_args(base)), None)
    return entity if isinstance(entity, type) else None


def unmarked(event: type[Event[Any]]) -> list[str]:
    """Return the fields of an event that are personal in its record, by the same name, and that it does not mark ``personal=``."""
    entity = subject_of(event)
    fields = spec(entity).fields if entity is not None else {}
    own = _attributes(event) - _STAMPED - event.__event_personal__
    return sorted(name for name in own if name in fields and fields[name].apart)


def event_kind(event: Any) -> str:
    """Return the name with the version, as the journal keeps it: ``sales.opportunity_won.v1``."""
    return f"{event_name(event)}.v{(get_origin(event) or event).__event_version__}"


def stamp(event: Event[Any], *, id: str, at: datetime, actor: str) -> None:
    """Say when an event was emitted and by whom. Only the pipeline and the codec call it."""
    for name, value in (("id", id), ("at", at), ("actor", actor)):
        object.__setattr__(event, name, value)


class EventCodec:
    """The events of one CRM to plain JSON and back.

    Raises:
        LoadError: two events have one name.
    """

    def __init__(
        self,
        entities: Iterable[type[Entity]],
        events: Iterable[type[Event[Any]]],
        extensions: Callable[[type[Any]], Iterable[type[Any]]] = lambda _: (),
    ) -> None:
        self._entities = {spec(e).name: e for e in entities}
        self._extensions = extensions
        self._events: dict[str, type[Event[Any]]] = {}
        self._hints: dict[type[Event[Any]], dict[str, Any]] = {}
        self._made: Converter | None = None
        for event in events:
            if self._events.setdefault(event_name(event), event) is not event:
                raise LoadError("event_taken", event=event_name(event))

    def encode(self, event: Event[Any]) -> Payload:
        """Return the event's own fields as plain JSON: what the journal keeps under ``data``."""
        return {n: self._converter.unstructure(getattr(event, n), unstructure_as=hint) for n, hint in self._fields(type(event)).items()}

    def parts(self, event: Event[Any]) -> tuple[Payload, Payload]:
        """Return the event's own fields as plain JSON: those about nobody, and the personal ones."""
        data, personal = self.encode(event), type(event).__event_personal__
        return {n: v for n, v in data.items() if n not in personal}, {n: v for n, v in data.items() if n in personal}

    def decode(self, entry: Entry) -> Event[Any]:
        """Read an event back from the journal.

        Raises:
            SchemaBehind: a newer version of the code wrote it.
            Invalid: its payload is not what the class says.
            LoadError: its entity, or a function for its version, is not there.
        """
        if entry.is_automatic:
            return self._automatic(entry)
        event = self._domain(entry)
        stamp(event, id=entry.event_id, at=entry.at, actor=entry.actor)
        return event

    def _entity(self, name: str) -> type[Entity]:
        found = self._entities.get(name)
        if found is None:
            raise LoadError("entity_missing", entity=name)
        return found

    def _automatic(self, entry: Entry) -> Event[Any]:
        facts = spec(self._entity(entry.entity))
        added = self._extensions(facts.entity)
        cls = _AUTOMATIC[entry.verb]
        _refuse_newer(entry, cls)

        def typed(name: str, value: Any) -> Any:
            field = facts.fields.get(name) or facts.field(name, added)
            return value if field is None or value == ERASED else structure(facts.name, field, value)

        part = _PARTS[cls]
        if part == "changes":
            values = {n: Change(typed(n, old), typed(n, new)) for n, (old, new) in entry.changes.items()}
        else:
            values = {n: typed(n, v) for n, v in entry.payload.get(part, {}).items()}
        stamps = {"id": entry.event_id, "record": Ref(facts.entity, entry.record), "at": entry.at, "actor": entry.actor}
        return _made(cls, {**stamps, part: MappingProxyType(values)})

    def _domain(self, entry: Entry) -> Event[Any]:
        cls = self._events.get(entry.name)
        if cls is None:
            raise LoadError("event_missing", event=entry.kind)
        _refuse_newer(entry, cls)
        data = dict(entry.payload.get("data", {}))
        for version in range(entry.kind_version, cls.__event_version__):
            if version not in cls.__event_upcasts__:
                raise LoadError("event_upcast_missing", event=cls.__event_name__, version=version)
            data = cls.__event_upcasts__[version](data)
        record: Ref[Any] = Ref(self._entity(entry.entity), entry.record)
        try:
            gone = _gone(cls, data)
            known = {n: self._converter.structure(data[n], hint) for n, hint in self._fields(cls).items() if n in data and n not in gone}
            made = cls(record=record, **known, **dict.fromkeys(gone))
            return made.without(gone) if gone else made
        except Exception as e:  # cattrs raises groups of anything
            raise Invalid("event_bad_payload", event=entry.kind, id=entry.event_id) from e

    def _fields(self, cls: type[Event[Any]]) -> dict[str, Any]:
        found = self._hints.get(cls)
        if found is None:
            try:
                hints = get_type_hints(cls, localns=dict(cls.__event_locals__))
            except NameError as e:
                raise LoadError("unresolved_annotation", entity=cls.__name__, name=e.name or str(e)) from e
            found = self._hints[cls] = {name: hints[name] for name in _attributes(cls) if name not in _STAMPED}
        return found

    @property
    def _converter(self) -> Converter:
        if self._made is None:
            self._made = _converter()
        return self._made


def _converter() -> Converter:
    from ..settings import plain_converter

    converter = plain_converter()
    is_ref: Callable[[Any], bool] = lambda t: get_origin(t) is Ref  # noqa: E731  # typed: cattrs' predicates are not
    converter.register_unstructure_hook_func(is_ref, lambda ref: ref.id)
    converter.register_structure_hook_func(is_ref, lambda value, t: Ref(get_args(t)[0], value))
    return converter


def _gone(cls: type[Event[Any]], data: Payload) -> frozenset[str]:
    """Return the personal fields whose values an erasure took: they stand as such, or are missing where none may be."""
    needed = {a.name for a in attrs.fields(cast(Any, cls)) if a.default is attrs.NOTHING}
    return frozenset(n for n in cls.__event_personal__ if data.get(n) == ERASED or (n in needed and n not in data))


def _refuse_newer(entry: Entry, cls: type[Event[Any]]) -> None:
    if entry.kind_version > cls.__event_version__:
        raise SchemaBehind("event_newer", event=entry.kind, known=cls.__event_version__)
