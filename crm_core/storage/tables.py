"""The physical tables of one CRM: entities with their extensions' columns, list indexes, links, and the core's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Boolean, Column, Connection, ForeignKey, Index, Integer, MetaData, String, Table, event, text

from ..arguments import check
from ..entities.fields import FieldOptions, FieldSpec
from ..entities.meta import extension_fields, snake, spec
from ..entities.sealing import CELL, check_sealed
from ..entities.sqltypes import IdType, text_type, type_of
from ..errors import LoadError
from ..hooks.parts import Link
from ..ondemand import OnDemand, OnFirstUse
from .system import SystemTables

if TYPE_CHECKING:
    from .adopted import Adopted, Adoption
    from .keys.sealer import Sealer

T = TypeVar("T", bound=Table)
LIVING = text("deleted_at IS NULL")


BLIND_LENGTH = 63  # of a blind index: the version of its key, and 32 hexadecimal digits
LONGEST = 63  # bytes of a name that PostgreSQL keeps
LONGEST_COLUMN = LONGEST - 6  # SQLAlchemy gives what is longer another label, which the lens would not find


def shortened(name: str) -> str:
    """Keep a name within PostgreSQL's 63 bytes, with a hash of the whole where it is cut."""
    whole = name.encode()
    if len(whole) <= LONGEST:
        return name
    return f"{whole[: LONGEST - 9].decode(errors='ignore')}_{hashlib.sha256(whole).hexdigest()[:8]}"


def _be_partial(metadata: MetaData, connection: Connection, **_: object) -> None:
    """Have PostgreSQL's indexes hold the rows that SQLite's do; said here, since saying it in a table loads the dialect."""
    if connection.dialect.name == "postgresql":
        for index in (i for table in metadata.tables.values() for i in table.indexes if "sqlite_where" in i.dialect_kwargs):
            index.dialect_kwargs["postgresql_where"] = index.dialect_kwargs["sqlite_where"]


class Tables:
    """Everything this CRM keeps, as SQLAlchemy tables. Names and references are checked at once; a table is made when it is asked for.

    Attributes:
        entities: physical table by entity class.
        lists: index table by (entity, column) of each embedded list: tenant, record, value, is_primary.
        links: table by link definition: tenant, a, b.
        sensitive: names of the fields whose reads are journalled, by entity.
        sealed: names of the fields that are encrypted, by entity.
        system: the core's own tables.
        named: physical table by the entity's name.
        adopted: where the columns of an entity are, by the entities that the host's own tables stand for.
        sealer: what seals and opens; None where the CRM has no keys.

    Raises:
        LoadError: ``table_collision``, ``column_too_long``, ``ref_target_missing``, ``link_target_missing``, and what sealed fields raise.
    """

    sealer: Sealer | None = None

    def __init__(
        self,
        entities: Sequence[type[Any]],
        extensions: Mapping[type[Any], Sequence[type[Any]]],
        links: Sequence[Link] = (),
        *,
        prefix: str = "crm_",
        schema: str | None = None,
        adopt: Mapping[Any, Adopted] | None = None,
    ) -> None:
        self.prefix = prefix
        self.schema = schema
        self._metadata = MetaData(schema=schema)
        event.listen(self._metadata, "before_create", _be_partial)
        self._making = RLock()
        self.system = SystemTables(self._metadata, prefix, self._making)
        self._extensions = extensions
        self._links = links
        self._names = {entity: shortened(self.prefix + spec(entity).name.replace(".", "_")) for entity in entities}
        self.sensitive = self._marked(lambda options: options.sensitive)
        self.sealed = self._marked(lambda options: options.sealed)
        if links or any(extensions.values()) or any(spec(entity).plugin for entity in entities):
            self._owners  # noqa: B018  # refuses what does not fit; the core's own does
        self.adopted: Mapping[type[Any], Adoption] = self._adopt(adopt or {})
        self.entities: Mapping[type[Any], Table] = OnDemand(self._names, self._entity)
        self.links: Mapping[Any, Table] = OnDemand(links, self._link)
        by_name = {spec(entity).name: entity for entity in entities}
        self.named: Mapping[str, Table] = OnDemand(by_name, lambda name: self.entities[by_name[name]])

    @OnFirstUse
    def lists(self) -> Mapping[tuple[type[Any], str], Table]:
        return OnDemand(self._listed, self._list)

    @OnFirstUse
    def _listed(self) -> Mapping[tuple[type[Any], str], str]:
        return {(e, f.column): plugin for e in self._names for plugin, f in self._fields(e) if f.kind == "list"}

    @property
    def metadata(self) -> MetaData:
        """All of them; ``table.info["plugin"]`` and ``column.info["plugin"]`` say whose they are ("" is the core)."""
        self.system.by_name()
        for each in (self.entities, self.lists, self.links):
            list(each.values())
        return self._metadata

    def custom(self, entity: type[Any]) -> Table:
        """Return where the values of an entity's custom fields are."""
        return self.system.custom_value

    @property
    def names(self) -> frozenset[str]:
        """The names of all of them."""
        return frozenset(self._owners)

    def name(self, entity: type[Any]) -> str:
        """Return the name of an entity's table."""
        return self._names[entity]

    def _adopt(self, adopt: Mapping[type[Any], Adopted]) -> dict[type[Any], Adoption]:
        check(adopt, Mapping, "a mapping of entities to Adopted(table, columns)")
        if not adopt:
            return {}
        from .adopted import Adopted, Adoption

        for entity, how in adopt.items():
            check(how, Adopted, "Adopted(table, columns)")
            if entity not in self._names:
                raise LoadError("entity_not_loaded", entity=getattr(entity, "__name__", repr(entity)))
        fields = {e: {f.column if f.extension else f.name: f for _, f in self._fields(e)} for e in adopt}
        return {e: Adoption(e, how, fields[e], adopt, self.prefix) for e, how in adopt.items()}

    @OnFirstUse
    def _owners(self) -> Mapping[str, str]:
        """Whose each table is, by its name; made when all names, columns and references fit."""
        owners = dict.fromkeys(self.system.table_names, "")

        def take(name: str, plugin: str) -> None:
            if name in owners:
                raise LoadError("table_collision", table=name, plugin=plugin or "crm_core")
            owners[name] = plugin

        for entity, name in self._names.items():
            take(name, spec(entity).plugin)
            fields = list(self._fields(entity))
            check_sealed(entity, [f for _, f in fields])
            for plugin, field in fields:
                self._check_field(plugin, field)
        for (entity, column), plugin in self._listed.items():
            take(self._list_name(entity, column), plugin)
        for link in self._links:
            for side in (link.a, link.b):
                if side not in self._names:
                    raise LoadError("link_target_missing", target=side.__name__, plugin=link.plugin)
            take(self._link_name(link), link.plugin)
        return owners

    def _check_field(self, plugin: str, field: FieldSpec) -> None:
        for name in (*field.columns, *((field.blind_column,) if field.blind_column else ())):
            if len(name.encode()) > LONGEST_COLUMN:
                raise LoadError("column_too_long", column=name, plugin=plugin or "crm_core", limit=LONGEST_COLUMN)
        if field.kind == "ref" and field.target is not None and field.target not in self._names:
            raise LoadError("ref_target_missing", field=field.name, target=field.target.__name__, plugin=plugin or "crm_core")

    def _fields(self, entity: type[Any]) -> Iterator[tuple[str, FieldSpec]]:
        """Yield an entity's fields and those of its extensions, with the plugin each belongs to."""
        facts = spec(entity)
        yield from ((facts.plugin, f) for f in facts.fields.values())
        for extension in self._extensions.get(entity, ()):
            yield from ((extension.__crm_extends__[1], f) for f in extension_fields(extension).values())

    def _marked(self, mark: Callable[[FieldOptions], bool]) -> dict[type[Any], frozenset[str]]:
        """Return the names of the fields whose options have a mark, by the entities that have such."""
        found: dict[type[Any], frozenset[str]] = {}
        for entity in self._names:
            added = (f for extension in self._extensions.get(entity, ()) for f in extension_fields(extension).values())
            own = (name for name, options in entity.__crm_options__.items() if mark(options))
            names = frozenset((*own, *(f.column for f in added if mark(f.options))))
            if names:
                found[entity] = names
        return found

    def _qualified(self, name: str) -> str:
        return f"{self.schema}.{name}" if self.schema else name

    def _list_name(self, entity: type[Any], column: str) -> str:
        return shortened(f"{self._names[entity]}_{column}")

    def _link_name(self, link: Link) -> str:
        return shortened(f"{self.prefix}{link.plugin.replace('.', '_')}_{snake(link.a.__name__)}_{snake(link.b.__name__)}_link")

    def _table(self, name: str, *items: Any) -> Table:
        return self._made(Table, name, items)

    def _made(self, kind: type[T], name: str, items: Iterable[Any]) -> T:
        with self._making:  # tables of one MetaData know of each other
            return kind(name, self._metadata, *items, info={"plugin": self._owners[name]})

    def _entity(self, entity: type[Any]) -> Table:
        fields = list(self._fields(entity))
        adoption = self.adopted.get(entity)
        columns = (c for plugin, f in fields for c in self._columns(f, plugin))
        if adoption is None:
            table = self._table(self._names[entity], *columns)
        else:
            from .host_table import HostTable

            table = hosts = self._made(HostTable, self._names[entity], columns)
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
            target = self._names[field.target]
            rule = {"protect": "RESTRICT", "set_null": "SET NULL", "cascade": "CASCADE"}[field.options.on_delete]
            keys.append(
                ForeignKey(
                    f"{self._qualified(target)}.id", ondelete=rule, name=shortened(f"{self.prefix}fk_{plugin}_{field.column}_{target}")
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

    def _list(self, key: tuple[type[Any], str]) -> Table:
        entity, column = key
        name = self._list_name(entity, column)
        record = ForeignKey(f"{self._qualified(self._names[entity])}.id", ondelete="CASCADE", name=shortened(f"{self.prefix}fk_{name}"))
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

    def _link(self, link: Link) -> Table:
        name = self._link_name(link)

        def end(column: str, entity: type[Any]) -> Column[Any]:
            target = self._qualified(self._names[entity])
            key = ForeignKey(f"{target}.id", ondelete="CASCADE", name=shortened(f"{self.prefix}fk_{name}_{column}"))
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
