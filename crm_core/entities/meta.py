"""How an entity class comes to be: slots for its records, columns for itself, and its spec.

The class is an attrs class with slots of its own; columns are built at the first class-level access, so that defining
entities does not import SQLAlchemy.
"""

from __future__ import annotations

import re
import sys
import threading
import types
from collections.abc import Iterable, Mapping
from functools import partial
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, get_origin, get_type_hints

import attrs

from ..classes import later
from ..errors import LoadError
from ..ondemand import OnFirstUse
from .construct import constructor
from .fields import NOTHING, FieldOptions, FieldSpec, read_field

if TYPE_CHECKING:
    from .columns import EntityTable

_building = threading.RLock()


def snake(name: str) -> str:
    """Turn ``OpportunityWon`` into ``opportunity_won``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class EntitySpec:
    """The facts of one entity: its name, fields and where they stand in a row.

    Attributes:
        name: ``account`` for the core's, ``sales.opportunity`` for a plugin's.
        fields: its own and the system fields by name, in column order. Which extensions it has, each CRM says for itself.
    """

    def __init__(self, entity: type[Any]) -> None:
        self.entity = entity
        self.plugin = ""
        self._short = snake(entity.__name__)

    @OnFirstUse
    def fields(self) -> dict[str, FieldSpec]:
        entity = self.entity
        fields = dict(_system_fields(next(b for b in reversed(entity.__mro__) if isinstance(b, EntityMeta))))
        hints = _hints(entity)
        own = ((name, options) for name, options in entity.__crm_options__.items() if name not in fields)
        fields |= {name: read_field(entity, name, hints[name], options) for name, options in own}
        _check_columns(entity.__name__, fields.values())
        return fields

    @property
    def name(self) -> str:
        return f"{self.plugin}.{self._short}" if self.plugin else self._short

    @property
    def append_only(self) -> bool:
        return bool(self.entity.__dict__.get("__append_only__", False))

    @property
    def seen_with(self) -> tuple[str, str] | None:
        """The fields that hold the id, and name the entity, of the record that each of its records is seen with; None of others."""
        pointer = self.entity.__dict__.get("__seen_with__")
        return None if pointer is None else (pointer, self.entity.__dict__["__points__"][pointer])

    def field(self, name: str, extensions: Iterable[type[Any]] = ()) -> FieldSpec | None:
        """Find a field by name; that of one of the CRM's *extensions* is called ``<plugin>_<field>`` like its column."""
        added = (f for extension in extensions for f in extension_fields(extension).values() if f.column == name)
        return self.fields.get(name) or next(added, None)

    def __repr__(self) -> str:
        return f"EntitySpec({self.name})"


class RecordMeta(type):
    """Makes slots attrs classes of annotated classes, and answers ``Class.field`` with a column."""

    __crm_options__: Mapping[str, FieldOptions]

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> RecordMeta:
        own: dict[str, FieldOptions] = {}
        taken = {a for base in bases for b in base.__mro__ if b.__module__ == f"{__package__}.entity" for a in vars(b)}
        for attribute, annotation in namespace.get("__annotations__", {}).items():
            if not _is_field(attribute, annotation):
                continue
            if attribute in taken:
                raise LoadError("field_taken", entity=name, field=attribute)
            given = namespace.pop(attribute, NOTHING)
            own[attribute] = given if isinstance(given, FieldOptions) else FieldOptions(default=given)
        hidden = namespace.pop("__record_slots__", ())
        namespace["__slots__"] = (*hidden, *own)
        namespace["__crm_built__"] = None
        cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        inherited: dict[str, FieldOptions] = {}
        for base in reversed(cls.__mro__[1:]):
            inherited |= base.__dict__.get("__crm_own__", {})
        cls.__crm_own__ = own
        cls.__crm_options__ = inherited | own
        cls.__crm_spec__ = None
        if "<locals>" in cls.__qualname__:
            cls.__crm_locals__ = dict(sys._getframe(1).f_locals)
        later(cls, ("__attrs_attrs__", "__init__"), partial(_generate, cls))
        return cls

    if not TYPE_CHECKING:  # a type checker would take it for the permission to read any name

        def __getattribute__(cls, name: str) -> Any:
            if name[0] != "_" and name in type.__getattribute__(cls, "__crm_options__"):
                built = type.__getattribute__(cls, "__dict__").get("__crm_built__")
                if built is None:
                    built = type.__getattribute__(cls, "__build_columns__")()
                    if built is None:
                        return type.__getattribute__(cls, name)
                return built[name]
            return type.__getattribute__(cls, name)

    __crm_own__: Mapping[str, FieldOptions]
    __crm_spec__: Any
    __crm_built__: Any
    __crm_locals__: Mapping[str, Any]

    def __build_columns__(cls) -> Mapping[str, Any] | None:
        return None


class EntityMeta(RecordMeta):
    """The metaclass of entities: they stand in ``select``, ``join`` and ``alias`` by themselves."""

    def __build_columns__(cls) -> Mapping[str, Any] | None:
        from .columns import attributes

        if cls.__dict__.get("__abstract__", False):
            return None
        cls.__crm_built__ = attributes(logical_table(cls), spec(cls).fields)
        return cls.__crm_built__  # type: ignore[no-any-return]  # set the line above

    def __clause_element__(cls) -> EntityTable:
        return logical_table(cls)


class ExtensionMeta(RecordMeta):
    """The metaclass of extensions: their columns belong to the entity they extend."""

    def __build_columns__(cls) -> Mapping[str, Any] | None:
        bound = cls.__dict__.get("__crm_extends__")
        if bound is None:
            return None
        from .columns import attributes

        cls.__crm_built__ = attributes(logical_table(bound[0]), extension_fields(cls))
        return cls.__crm_built__  # type: ignore[no-any-return]  # set the line above


def _is_field(name: str, annotation: Any) -> bool:
    if name.startswith("_"):
        return False
    if isinstance(annotation, str):
        return not annotation.startswith(("ClassVar", "typing.ClassVar"))
    return get_origin(annotation) is not ClassVar and annotation is not ClassVar


def _generate(cls: RecordMeta) -> None:
    """Make an attrs class of it, with our own constructor."""
    # No hook at assignment: values are checked on their way to the database, and each record read is a dozen assignments.
    attrs.define(
        cls,
        these={name: _attribute(options) for name, options in cls.__crm_own__.items()},
        slots=False,
        init=False,
        kw_only=True,
        eq=False,
        repr=False,
        order=False,
        auto_detect=False,
        on_setattr=attrs.setters.NO_OP,
    )
    type.__setattr__(cls, "__init__", constructor(cls))


def _attribute(options: FieldOptions) -> Any:
    if not options.init:
        return attrs.field(init=False)
    if options.factory is not None:
        return attrs.field(factory=options.factory)
    return attrs.field(default=options.default)


def _hints(cls: type[Any]) -> dict[str, Any]:
    """Resolve the annotations of a class's fields; those that all entities have in common once."""
    found: dict[str, Any] = {}
    for base in (b for b in reversed(cls.__mro__) if "__crm_own__" in b.__dict__):
        known = base.__dict__.get("__crm_hints__")
        if known is None:
            known = _own_hints(base)
            type.__setattr__(base, "__crm_hints__", known)
        found |= known
    return found


def _own_hints(cls: type[Any]) -> dict[str, Any]:
    written = {name: hint for name, hint in get_annotations(cls).items() if name in cls.__crm_own__}
    # Fields of one type are often many; what is written alike is read once.
    keys = {name: hint if isinstance(hint, str) else name for name, hint in written.items()}
    holder = types.SimpleNamespace(__annotations__={keys[name]: hint for name, hint in written.items()})
    try:
        hints = get_type_hints(holder, vars(sys.modules[cls.__module__]), dict(cls.__dict__.get("__crm_locals__", {})))
        return {name: hints[key] for name, key in keys.items()}
    except NameError as e:
        raise LoadError("unresolved_annotation", entity=cls.__name__, name=e.name or str(e)) from e


def spec(entity: type[Any]) -> EntitySpec:
    """Return the facts of an entity class; its annotations are read when its fields are first asked for.

    Raises:
        LoadError: it is no entity; and by its ``fields``: an annotation is not a field type or names something unknown.
    """
    found: EntitySpec | None = entity.__dict__.get("__crm_spec__")
    if found is None:
        if not isinstance(entity, EntityMeta) or entity.__dict__.get("__abstract__", False):
            raise LoadError("not_an_entity", given=repr(entity))
        found = EntitySpec(entity)
        type.__setattr__(entity, "__crm_spec__", found)
    return found


def _check_columns(entity: str, fields: Iterable[FieldSpec]) -> None:
    taken: set[str] = set()
    for field in sorted(fields, key=lambda f: f.kind == "money"):
        for column in field.columns:
            if column in taken:
                raise LoadError("field_taken", entity=entity, field=column)
            taken.add(column)


def _system_fields(base: Any) -> Mapping[str, FieldSpec]:
    """Return the fields that all entities have in common, read once."""
    found: Mapping[str, FieldSpec] | None = base.__dict__.get("__crm_system__")
    if found is None:
        hints = _hints(base)
        found = {name: read_field(base, name, hints[name], options, system=True) for name, options in base.__crm_own__.items()}
        type.__setattr__(base, "__crm_system__", found)
    return found


def extension_fields(extension: type[Any]) -> Mapping[str, FieldSpec]:
    """Return the fields of a bound extension by their own names."""
    found: Mapping[str, FieldSpec] | None = extension.__dict__.get("__crm_spec__")
    if found is None:
        bound = extension.__dict__.get("__crm_extends__")
        if bound is None:
            raise LoadError("extension_unbound", extension=extension.__name__)
        prefix = bound[1].replace(".", "_")
        hints = _hints(extension)
        found = {n: read_field(extension, n, hints[n], o, column=f"{prefix}_{n}") for n, o in extension.__crm_options__.items()}
        for f in found.values():
            if f.required and not f.nullable:
                raise LoadError("extension_needs_default", extension=extension.__name__, field=f.name)
        type.__setattr__(extension, "__crm_spec__", found)
    return found


def logical_table(entity: type[Any]) -> EntityTable:
    """Return the table that stands for the entity in statements: no prefix, no schema, no database."""
    found: EntityTable | None = entity.__dict__.get("__crm_table__")
    if found is not None:
        return found
    from .columns import logical

    # Of two threads at their first look, both must see the same table: lenses know it by its identity.
    with _building:
        found = entity.__dict__.get("__crm_table__")
        if found is None:
            found = logical(entity, spec(entity))
            type.__setattr__(entity, "__crm_table__", found)
    return found


def bind_entity(entity: type[Any], plugin: str) -> None:
    """Say which plugin an entity belongs to; the core's own (``core``) have no prefix in their names.

    Raises:
        LoadError: it belongs to another plugin already; an annotation of a plugin's entity is not a field type.
    """
    plugin = "" if plugin == "core" else plugin
    known = spec(entity)
    if known.plugin not in ("", plugin):
        raise LoadError("entity_taken", entity=known.name, plugin=plugin, other=known.plugin)
    known.plugin = plugin
    if plugin:
        known.fields  # noqa: B018  # what is wrong with them is said where they are declared


def bind_extension(extension: type[Any], entity: type[Any], plugin: str) -> None:
    """Say which entity an extension extends and for which plugin; its columns are ``<plugin>_<field>``.

    Raises:
        LoadError: it extends another entity already, or belongs to another plugin.
    """
    bound = extension.__dict__.get("__crm_extends__")
    if bound == (entity, plugin):
        return
    if bound is not None:
        raise LoadError("extension_taken", extension=extension.__name__, plugin=plugin, other=bound[1])
    spec(entity)
    type.__setattr__(extension, "__crm_extends__", (entity, plugin))
    extension_fields(extension)
