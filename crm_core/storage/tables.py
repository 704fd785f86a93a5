"""The physical tables of one CRM: entities with their extensions' columns, list indexes, links, and the core's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, text

from ..entities.fields import FieldSpec
from ..entities.meta import extension_fields, snake, spec
from ..entities.sqltypes import IdType, text_type, type_of
from ..errors import LoadError
from ..hooks.parts import Link
from .system import SystemTables, system_tables

LIVING = text("deleted_at IS NULL")


LONGEST = 63  # bytes of a name that PostgreSQL keeps
LONGEST_COLUMN = LONGEST - 6  # SQLAlchemy gives what is longer another label, which the lens would not find


def shortened(name: str) -> str:
    """Keep a name within PostgreSQL's 63 bytes, with a hash of the whole where it is cut."""
    whole = name.encode()
    if len(whole) <= LONGEST:
        return name
    return f"{whole[: LONGEST - 9].decode(errors='ignore')}_{hashlib.sha256(whole).hexdigest()[:8]}"


class Tables:
    """Everything this CRM keeps, as SQLAlchemy tables.

    Attributes:
        metadata: holds them all; ``table.info["plugin"]`` and ``column.info["plugin"]`` say whose they are ("" is the core).
        entities: physical table by entity class.
        lists: index table by (entity, field) of each embedded list: tenant, record, value, is_primary.
        links: table by link definition: tenant, a, b.
        sensitive: names of the fields whose reads are journalled, by entity.
        system: the core's own tables.
    """

    def __init__(
        self,
        entities: Sequence[type[Any]],
        extensions: Mapping[type[Any], Sequence[type[Any]]],
        links: Sequence[Link] = (),
        *,
        prefix: str = "crm_",
        schema: str | None = None,
    ) -> None:
        self.prefix = prefix
        self.schema = schema
        self.metadata = MetaData(schema=schema)
        self.system: SystemTables = system_tables(self.metadata, prefix)
        self.entities: dict[type[Any], Table] = {}
        self.lists: dict[tuple[type[Any], str], Table] = {}
        self.links: dict[Any, Table] = {}
        self.sensitive: dict[type[Any], frozenset[str]] = {}
        for table in self.metadata.tables.values():
            table.info["plugin"] = ""
        names = {entity: self._physical_name(entity) for entity in entities}
        for entity in entities:
            self._add_entity(entity, extensions.get(entity, ()), names)
        for link in links:
            self._add_link(link, names)

    def _physical_name(self, entity: type[Any]) -> str:
        return shortened(self.prefix + spec(entity).name.replace(".", "_"))

    def _qualified(self, name: str) -> str:
        return f"{self.schema}.{name}" if self.schema else name

    def _table(self, name: str, plugin: str, *items: Any) -> Table:
        if self._qualified(name) in self.metadata.tables:
            raise LoadError("table_collision", table=name, plugin=plugin or "crm_core")
        table = Table(name, self.metadata, *items)
        table.info["plugin"] = plugin
        return table

    def _add_entity(self, entity: type[Any], extensions: Sequence[type[Any]], names: Mapping[type[Any], str]) -> None:
        facts = spec(entity)
        name = names[entity]
        columns = [c for f in facts.fields.values() for c in self._columns(f, facts.plugin, names)]
        for extension in extensions:
            plugin = extension.__crm_extends__[1]
            columns += [c for f in extension_fields(extension).values() for c in self._columns(f, plugin, names)]
        table = self._table(name, facts.plugin, *columns)
        self.entities[entity] = table
        every = [*facts.fields.values(), *(f for e in extensions for f in extension_fields(e).values())]
        self._index_fields(entity, table, every)
        sensitive = frozenset(f.column if f.extension else f.name for f in every if f.options.sensitive)
        if sensitive:
            self.sensitive[entity] = sensitive
        for field in every:
            if field.kind == "list":
                self._add_list(entity, table, field)

    def _columns(self, field: FieldSpec, plugin: str, names: Mapping[type[Any], str]) -> Iterable[Column[Any]]:
        for name in field.columns:
            if len(name.encode()) > LONGEST_COLUMN:
                raise LoadError("column_too_long", column=name, plugin=plugin or "crm_core", limit=LONGEST_COLUMN)
        keys: list[Any] = []
        if field.kind == "ref" and field.target is not None:
            target = names.get(field.target)
            if target is None:
                raise LoadError("ref_target_missing", field=field.name, target=field.target.__name__, plugin=plugin or "crm_core")
            rule = {"protect": "RESTRICT", "set_null": "SET NULL", "cascade": "CASCADE"}[field.options.on_delete]
            keys.append(
                ForeignKey(
                    f"{self._qualified(target)}.id", ondelete=rule, name=shortened(f"{self.prefix}fk_{plugin}_{field.column}_{target}")
                )
            )
        nullable = field.nullable or field.name == "deleted_at"
        default = _server_default(field) if field.extension else None
        info = {"plugin": plugin, "field": field}
        yield Column(
            field.columns[0], type_of(field), *keys, primary_key=field.kind == "id", nullable=nullable, server_default=default, info=info
        )
        if field.kind == "money":
            yield Column(field.columns[1], String(3), nullable=nullable, info=info)

    def _index_fields(self, entity: type[Any], table: Table, fields: Sequence[FieldSpec]) -> None:
        def index(*columns: str, **kwargs: Any) -> None:
            name = "_".join((table.name, *columns, "key" if kwargs.get("unique") else "idx"))
            Index(shortened(name), *(table.c[c] for c in columns), **kwargs)

        index("tenant", "id")
        own = spec(entity).fields
        if "owner" in own:
            index("tenant", "owner", "id")
        for field in fields:
            if field.options.unique:
                index("tenant", field.column, unique=True, sqlite_where=LIVING, postgresql_where=LIVING)
            elif field.options.index:
                index("tenant", field.column)
            elif field.kind == "ref":
                index(field.column)
        for columns in entity.__dict__.get("__indexes__", ()):
            index("tenant", *(c for n in columns for c in own[n].columns[:1]))

    def _add_list(self, entity: type[Any], table: Table, field: FieldSpec) -> None:
        name = shortened(f"{table.name}_{field.column}")
        plugin = table.c[field.column].info["plugin"]
        record = ForeignKey(f"{self._qualified(table.name)}.id", ondelete="CASCADE", name=shortened(f"{self.prefix}fk_{name}"))
        listed = self._table(
            name,
            plugin,
            Column("tenant", text_type(63), nullable=False),
            Column("record", IdType(), record, primary_key=True),
            Column("position", Integer(), primary_key=True, autoincrement=False),
            Column("value", text_type(320), nullable=False),
            Column("is_primary", Boolean(), nullable=False),
        )
        primary = text("is_primary")
        Index(shortened(f"{name}_primary_key"), listed.c.record, unique=True, sqlite_where=primary, postgresql_where=primary)
        Index(shortened(f"{name}_value_idx"), listed.c.tenant, listed.c.value)
        self.lists[entity, field.column] = listed

    def _add_link(self, link: Link, names: Mapping[type[Any], str]) -> None:
        for side in (link.a, link.b):
            if side not in names:
                raise LoadError("link_target_missing", target=side.__name__, plugin=link.plugin)
        plugin = link.plugin.replace(".", "_")
        name = shortened(f"{self.prefix}{plugin}_{snake(link.a.__name__)}_{snake(link.b.__name__)}_link")

        def end(column: str, entity: type[Any]) -> Column[Any]:
            key = ForeignKey(f"{self._qualified(names[entity])}.id", ondelete="CASCADE", name=shortened(f"{self.prefix}fk_{name}_{column}"))
            return Column(column, IdType(), key, primary_key=True)

        table = self._table(name, link.plugin, Column("tenant", text_type(63), nullable=False), end("a", link.a), end("b", link.b))
        Index(shortened(f"{name}_b_idx"), table.c.b)
        self.links[link] = table


def _server_default(field: FieldSpec) -> Any:
    """Give rows that were there before the plugin the extension's default."""
    default = field.options.factory() if field.options.factory else field.options.default
    if default is None or not isinstance(default, str | int | bool):
        return None
    if isinstance(default, bool):
        return text("true" if default else "false")
    return default if isinstance(default, str) else text(str(default))
