"""How the physical tables are made: columns, keys and indexes of entities, of the values of lists, and of links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Boolean, Column, Connection, ForeignKey, Index, Integer, MetaData, String, Table, event, text

from ..entities.fields import FieldSpec
from ..entities.meta import spec
from ..entities.sealing import CELL
from ..entities.sqltypes import IdType, text_type, type_of
from ..hooks.parts import Link
from .system import SystemTables
from .tables import shortened

if TYPE_CHECKING:
    from .tables import Tables

T = TypeVar("T", bound=Table)
LIVING = text("deleted_at IS NULL")
BLIND_LENGTH = 63  # of a blind index: the version of its key, and 32 hexadecimal digits


class Making:
    """Makes the tables of one CRM, each when it is first asked for.

    Attributes:
        metadata: what was made.
        system: the tables that are not entities.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._alone = RLock()  # tables of one MetaData know of each other
        self.metadata = MetaData(schema=tables.schema)
        event.listen(self.metadata, "before_create", _be_partial)
        self.system = SystemTables(self.metadata, tables.prefix, self._alone)

    def _target(self, name: str) -> str:
        return f"{self._tables.schema}.{name}" if self._tables.schema else name

    def _table(self, name: str, *items: Any) -> Table:
        return self._made(Table, name, items)

    def _made(self, kind: type[T], name: str, items: Iterable[Any]) -> T:
        with self._alone:
            return kind(name, self.metadata, *items, info={"plugin": self._tables.owners[name]})

    def of_entity(self, entity: type[Any]) -> Table:
        """Make an entity's table: its fields, its extensions', and their indexes."""
        fields = [*self._tables.fields(entity)]
        adoption = self._tables.adopted.get(entity)
        columns = (c for plugin, f in fields for c in self._columns(f, plugin))
        if adoption is None:
            table = self._table(self._tables.name(entity), *columns)
        else:
            from .host_table import HostTable

            table = hosts = self._made(HostTable, self._tables.name(entity), columns)
            hosts.adoption, hosts.schema = adoption, None  # in a FROM it is a select, which no schema has
        for field in (f for _, f in fields if f.options.sealed):
            from ..entities.sealed import place_name
            from .keys.cells import cell

            table.c[field.column].info[CELL] = cell(place_name(entity, field), table, table.c[field.column], self.system.key)
        self._index_fields(entity, table, [f for _, f in fields])
        return table

    def _columns(self, field: FieldSpec, plugin: str) -> Iterable[Column[Any]]:
        keys: list[Any] = []
        if field.kind == "ref" and field.target is not None:
            target = self._tables.name(field.target)
            rule = {"protect": "RESTRICT", "set_null": "SET NULL", "cascade": "CASCADE"}[field.options.on_delete]
            keys.append(
                ForeignKey(
                    f"{self._target(target)}.id", ondelete=rule, name=shortened(f"{self._tables.prefix}fk_{plugin}_{field.column}_{target}")
                )
            )
        nullable = field.nullable or field.name == "deleted_at"
        default = _server_default(field) if field.extension else None
        info = {"plugin": plugin, "field": field}
        type_ = text_type(None) if field.options.sealed else type_of(field)
        yield Column(field.columns[0], type_, *keys, primary_key=field.kind == "id", nullable=nullable, server_default=default, info=info)
        if field.kind == "money":
            yield Column(field.columns[1], String(3), nullable=nullable, info=info)
        if field.blind_column is not None:
            yield Column(field.blind_column, text_type(BLIND_LENGTH), info=dict(info))

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
                index("tenant", field.blind_column or field.column, unique=True, sqlite_where=LIVING)
            elif field.blind_column is not None:
                index("tenant", field.blind_column)
            elif field.options.index:
                index("tenant", field.column)
            elif field.kind == "ref":
                index(field.column)
        for columns in entity.__dict__.get("__indexes__", ()):
            index("tenant", *(c for n in columns for c in own[n].columns[:1]))

    def of_list(self, key: tuple[type[Any], str]) -> Table:
        """Make the table of an embedded list's values, by which records are found."""
        entity, column = key
        name = self._tables.list_name(entity, column)
        record = ForeignKey(
            f"{self._target(self._tables.name(entity))}.id", ondelete="CASCADE", name=shortened(f"{self._tables.prefix}fk_{name}")
        )
        listed = self._table(
            name,
            Column("tenant", text_type(63), nullable=False),
            Column("record", IdType(), record, primary_key=True),
            Column("position", Integer(), primary_key=True, autoincrement=False),
            Column("value", text_type(320), nullable=False),
            Column("is_primary", Boolean(), nullable=False),
        )
        primary = text("is_primary")
        Index(shortened(f"{name}_primary_key"), listed.c.record, unique=True, sqlite_where=primary)
        Index(shortened(f"{name}_value_idx"), listed.c.tenant, listed.c.value)
        return listed

    def of_link(self, link: Link) -> Table:
        """Make the table of a link between the records of two modules."""
        name = self._tables.link_name(link)

        def end(column: str, entity: type[Any]) -> Column[Any]:
            target = self._target(self._tables.name(entity))
            key = ForeignKey(f"{target}.id", ondelete="CASCADE", name=shortened(f"{self._tables.prefix}fk_{name}_{column}"))
            return Column(column, IdType(), key, primary_key=True)

        table = self._table(name, Column("tenant", text_type(63), nullable=False), end("a", link.a), end("b", link.b))
        Index(shortened(f"{name}_b_idx"), table.c.b)
        return table


def _server_default(field: FieldSpec) -> Any:
    """Give rows that were there before the plugin the extension's default."""
    default = field.options.factory() if field.options.factory else field.options.default
    if default is None or not isinstance(default, str | int | bool):
        return None
    if isinstance(default, bool):
        return text("true" if default else "false")
    return default if isinstance(default, str) else text(str(default))


def _be_partial(metadata: MetaData, connection: Connection, **_: object) -> None:
    """Have PostgreSQL's indexes hold the rows that SQLite's do; said here, since saying it in a table loads the dialect."""
    if connection.dialect.name == "postgresql":
        for index in (i for table in metadata.tables.values() for i in table.indexes if "sqlite_where" in i.dialect_kwargs):
            index.dialect_kwargs["postgresql_where"] = index.dialect_kwargs["sqlite_where"]
