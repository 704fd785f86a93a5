"""Rows and journal, one statement each per batch, on the driver's executemany. Only the pipeline calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, Dialect, Select, Table, bindparam, select

from ..entities.codec import Codec
from ..entities.sealing import CELL
from ..entities.sqltypes import IdType
from ..entities.validate import plain
from ..errors import Conflict
from ..permissions.prepared import Prepared, driver_rows, prepare, send
from .adopted import Adoption
from .tables import Tables

if TYPE_CHECKING:
    from .keys.keyring import Held

Convert = Callable[[Sequence[Any]], tuple[Any, ...]]
NO_KEYS: Held = MappingProxyType({})
CHUNK = 1_000
LISTED = 500
JOURNAL = (
    "tenant",
    "at",
    "actor",
    "on_behalf_of",
    "plugin",
    "reason",
    "request",
    "entity",
    "record",
    "version",
    "kind",
    "format",
    "payload",
    "personal",
)
_PAYLOAD = JOURNAL.index("payload")
_REFUSED = (r"\u0000", r"\ud")
"""What PostgreSQL may not take in JSON, as it is written there: a zero character, half a character."""

FORMAT = 1
LISTED_COLUMNS = ("tenant", "record", "position", "value", "is_primary")


@attrs.frozen
class Origin:
    """Who writes, why and when: the part that all journal rows of a call share."""

    tenant: str
    at: datetime
    actor: str
    on_behalf_of: str | None
    plugin: str
    reason: str | None
    request: str | None
    chain: tuple[str, ...]


@attrs.define
class JournalRow:
    """One change or domain event, before it is written. ``payload`` and ``personal`` are plain JSON; *subject* is whom that is about."""

    entity: str
    record: str
    version: int
    kind: str
    payload: Mapping[str, Any]
    personal: Mapping[str, Any] | None = None
    subject: str = ""


def chunks(items: Sequence[Any], size: int = LISTED) -> Iterator[Sequence[Any]]:
    """Cut a sequence into parts that fit a statement's parameters."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def placeholders(dialect: Dialect, count: int) -> list[str]:
    """Write a driver's marks for positional values."""
    if dialect.paramstyle in ("numeric", "numeric_dollar"):
        return [f"${i + 1}" for i in range(count)]
    return ["?" if dialect.paramstyle == "qmark" else "%s"] * count


class Writer:
    """The statements of one CRM, built once.

    Statements go to the driver as text with positional values: rows come ready from the generated codecs, so SQLAlchemy's per-row
    work (four times the cost of a row) is not needed.
    """

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        from .host_rows import HostRows

        self._tables = tables
        self._dialect = dialect
        self._sqlite = dialect.name == "sqlite"
        self._statements: dict[Any, str] = {}
        self._locks: dict[Any, Prepared] = {}
        self.hosts = HostRows(tables, dialect)
        columns = JOURNAL if tables.sealer is None else (*JOURNAL, "key_id")
        self._journal = self._insert(tables.system.journal, columns, extra={} if self._sqlite else {"xid": "pg_current_xact_id()"})

    def _insert(self, table: Table, columns: Sequence[str], extra: Mapping[str, str] | None = None) -> str:
        quote = self._dialect.identifier_preparer
        names = [quote.quote(c) for c in (*columns, *(extra or {}))]
        values = [*placeholders(self._dialect, len(columns)), *(extra or {}).values()]
        return f"INSERT INTO {quote.format_table(table)} ({', '.join(names)}) VALUES ({', '.join(values)})"

    def _run(self, connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Send a statement for each row; return how many rows the database counted, as far as the driver tells (else -1)."""
        counts = [send(connection, statement, part) for part in chunks(rows, CHUNK)]
        return -1 if -1 in counts else sum(counts)

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def locked(self, connection: Connection, codec: Codec, tenant: str, ids: Sequence[str], *, deleted: bool = False) -> list[Any]:
        """Read the rows of a tenant's living or deleted records, whole as the driver gives them, locked until the transaction ends."""
        if codec.sealed and not self._sqlite:
            self._lock_first(connection, codec, ids)
        if len(ids) == 1:
            return self._lock_one(codec, deleted).fetch(connection, {"tenant": tenant, "id": ids[0]})
        table = self._tables.entities[codec.entity]
        statement = self._lock(codec, deleted)
        return [
            row
            for part in chunks(ids)
            for row in driver_rows(connection.execute(statement.where(table.c.id.in_(part)).order_by(table.c.id), {"tenant": tenant}))
        ]

    def _lock_first(self, connection: Connection, codec: Codec, ids: Sequence[str]) -> None:
        """Wait for who changes the rows just now: else PostgreSQL would read what they wrote beside keys from before they did."""
        table = self._tables.entities[codec.entity]
        for part in chunks(sorted(ids)):
            connection.execute(select(table.c.id).where(table.c.id.in_(part)).order_by(table.c.id).with_for_update(key_share=True))

    def _lock(self, codec: Codec, deleted: bool) -> Select[Any]:
        table = self._tables.entities[codec.entity]
        dead = table.c.deleted_at.is_not(None) if deleted else table.c.deleted_at.is_(None)
        columns, _ = codec.loader(codec.every)
        # Ids never change: who only points at a record need not wait, nor deadlock.
        return (
            select(*(table.c[c].info.get(CELL, table.c[c]) for c in columns))
            .where(table.c.tenant == bindparam("tenant"), dead)
            .with_for_update(key_share=True)
        )

    def _lock_one(self, codec: Codec, deleted: bool) -> Prepared:
        found = self._locks.get((codec.entity, deleted))
        if found is None:
            table = self._tables.entities[codec.entity]
            statement = self._lock(codec, deleted).where(table.c.id == bindparam("id", type_=IdType()))
            found = self._locks[codec.entity, deleted] = prepare(statement.compile(dialect=self._dialect), self._dialect)
        return found

    def keys(self, connection: Connection, codec: Codec, records: Sequence[Any], *, fresh: bool) -> Held:
        """Return the keys that changes of *records* are sealed with, held until the transaction ends; none where the CRM has none."""
        sealer = self._tables.sealer
        if sealer is None or not codec.personal:
            return NO_KEYS
        return sealer.hold(connection, codec, records[0].tenant, records, fresh=fresh)

    def insert_into(self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows of a table beside that of an entity."""
        statement = self._statements.get((table, columns))
        if statement is None:
            statement = self._statements[table, columns] = self._insert(table, columns)
        self._run(connection, statement, rows)

    def insert(self, connection: Connection, codec: Codec, records: Sequence[Any], held: Held = NO_KEYS) -> None:
        """Write new records and their list entries."""
        table, columns, hosts = self._stored(codec, codec.stored, new=True)
        statement = self._statements.get(codec.entity)
        if statement is None:
            statement = self._statements[codec.entity] = self._insert(table, columns)
        to_row = codec.to_row
        rows = [to_row(r) for r in records] if hosts is None else [hosts(to_row(r)) for r in records]
        if codec.sealed:
            rows = self._sealed(connection, codec, records, rows, held)
        self._run(connection, statement, rows)
        for name in codec.lists:
            self._insert_list(connection, codec, name, records)

    def _stored(self, codec: Codec, columns: Sequence[str], *, new: bool = False) -> tuple[Table, Sequence[str], Convert | None]:
        """Return the table and columns that are written, and what makes their rows of the entity's where they are the host's."""
        adoption = self._tables.adopted.get(codec.entity)
        if adoption is None:
            return self._tables.entities[codec.entity], columns, None
        return adoption.table, *adoption.writes(columns, self._dialect, new=new)

    def _sealed(
        self,
        connection: Connection,
        codec: Codec,
        records: Sequence[Any],
        rows: Sequence[tuple[Any, ...]],
        held: Held,
        names: Iterable[str] | None = None,
    ) -> list[tuple[Any, ...]]:
        table, sealer = self._tables.entities[codec.entity], self._tables.sealer
        assert sealer is not None  # a CRM without keys does not load sealed fields
        return sealer.rows(connection, table, codec, records, rows, held, None if names is None else frozenset(names))

    def update(self, connection: Connection, codec: Codec, records: Sequence[Any], names: Collection[str], held: Held = NO_KEYS) -> None:
        """Write the fields *names* (and the version, who and when) of changed records.

        Raises:
            Conflict: ``changed_meanwhile``: one is not at the version any more that its change is based on.
        """
        fields = sorted({*names, *codec.resealed(names), "version", "updated_at", "updated_by"})
        columns = tuple(c for n in fields for c in codec.fields[n].stored)
        table, written, hosts = self._stored(codec, columns)
        key = (codec.entity, columns)
        statement = self._statements.get(key)
        if statement is None:
            statement = self._statements[key] = self._update(table, written, self._tables.adopted.get(codec.entity))
        at = [codec.stored.index(c) for c in columns]
        whole = [codec.to_row(record) for record in records]
        if codec.sealed:
            whole = self._sealed(connection, codec, records, whole, held, fields)
        changed: Iterable[Sequence[Any]] = ([row[i] for i in at] for row in whole)
        if hosts is not None:
            changed = map(hosts, changed)
        rows = [(*row, record.id, record.version - 1) for record, row in zip(records, changed, strict=True)]
        if self._run(connection, statement, rows) not in (len(rows), -1):
            raise Conflict("changed_meanwhile", entity=codec.facts.name)
        for name in names:
            if codec.fields[name].kind == "list":
                self._delete_list(connection, codec, name, [r.id for r in records])
                self._insert_list(connection, codec, name, records)

    def _update(self, table: Table, columns: Sequence[str], hosts: Adoption | None) -> str:
        quote = self._dialect.identifier_preparer
        marks = placeholders(self._dialect, len(columns) + 2)
        sets = ", ".join(f"{quote.quote(c)} = {m}" for c, m in zip(columns, marks, strict=False))
        id_, version = ("id", "version") if hosts is None else (hosts.places[n].sql(self._dialect) for n in ("id", "version"))
        return f"UPDATE {quote.format_table(table)} SET {sets} WHERE {id_} = {marks[-2]} AND {version} = {marks[-1]}"

    def _insert_list(self, connection: Connection, codec: Codec, name: str, records: Sequence[Any]) -> None:
        rows = list_rows(codec, name, records)
        if rows:
            table = self._tables.lists[codec.entity, codec.fields[name].column]
            self._run(connection, self._insert(table, LISTED_COLUMNS), rows)

    def _delete_list(self, connection: Connection, codec: Codec, name: str, ids: Sequence[str]) -> None:
        table = self._tables.lists[codec.entity, codec.fields[name].column]
        mark = placeholders(self._dialect, 1)[0]
        statement = f"DELETE FROM {self._dialect.identifier_preparer.format_table(table)} WHERE record = {mark}"
        self._run(connection, statement, [(i,) for i in ids])

    # -- journal ------------------------------------------------------------------------------------------------------------------

    def journal(self, connection: Connection, origin: Origin, rows: Iterable[JournalRow], held: Held = NO_KEYS) -> None:
        """Append journal rows, in order; with keys, what is personal in them is sealed."""
        self._run(connection, self._journal, self.journalled(origin, rows, held))

    def later(self, origin: Origin, rows: Iterable[JournalRow]) -> Callable[[Connection], None] | None:
        """Return what appends journal rows in which nothing is personal, or None where the database may refuse a text in them."""
        made = self.journalled(origin, rows, NO_KEYS)
        if any(bad in row[_PAYLOAD] for row in made for bad in _REFUSED):
            return None

        def write(connection: Connection) -> None:
            self._run(connection, self._journal, made)

        return write

    def journalled(self, origin: Origin, rows: Iterable[JournalRow], held: Held) -> list[tuple[Any, ...]]:
        """Return what the driver takes for journal rows."""
        sealer = self._tables.sealer
        at: Any = origin.at.isoformat(timespec="microseconds") if self._sqlite else origin.at
        head = (origin.tenant, at, origin.actor, origin.on_behalf_of, origin.plugin, origin.reason, origin.request)
        chain = {"chain": list(origin.chain)}
        dumps = json.dumps
        return [
            (
                *head,
                r.entity,
                r.record,
                r.version,
                r.kind,
                FORMAT,
                dumps({**r.payload, **chain} if origin.chain else r.payload),
                *((dumps(r.personal) if r.personal else None,) if sealer is None else sealer.entry(origin.tenant, r, held)),
            )
            for r in rows
        ]


class Writers:
    """The writers of one CRM: an asynchronous engine's drivers, within its loop and outside, do not take one text."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._made: dict[str, Writer] = {}

    def __call__(self, connection: Connection) -> Writer:
        """Return the one whose statements the connection's driver takes."""
        style = connection.dialect.paramstyle
        return self._made.get(style) or self._made.setdefault(style, Writer(self._tables, connection.dialect))


def list_rows(codec: Codec, name: str, records: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return the index rows of an embedded list of records."""
    return [
        (record.tenant, record.id, position, value, bool(getattr(item, "primary", False)))
        for record in records
        for position, item in enumerate(codec.get(record, name))
        if (value := item.index_value)
    ]


def created_row(codec: Codec, record: Any, event_id: str) -> JournalRow:
    """Describe a new record; fields that are None or empty are left out."""
    public, personal = codec.journalled(record)
    name = codec.facts.name
    payload = {"id": event_id, "new": public}
    kept = {"new": personal} if personal else None
    return JournalRow(name, record.id, record.version, f"{name}.created.v1", payload, kept, codec.subject(record))


def updated_row(codec: Codec, old: Any, new: Any, names: Iterable[str], event_id: str, verb: str = "updated") -> JournalRow:
    """Describe what changed, as pairs [old, new] a field."""
    public: dict[str, Any] = {}
    personal: dict[str, Any] = {}
    for n in sorted(names):
        field = codec.fields[n]
        pair = [plain(field, codec.get(old, n)), plain(field, codec.get(new, n))]
        (personal if field.apart else public)[n] = pair
    name = codec.facts.name
    extra = {"changes": personal} if personal else None
    return JournalRow(name, new.id, new.version, f"{name}.{verb}.v1", {"id": event_id, "changes": public}, extra, codec.subject(new))


def deleted_row(codec: Codec, record: Any, event_id: str) -> JournalRow:
    """Describe a record that is gone, with its last values."""
    public, personal = codec.journalled(record)
    name = codec.facts.name
    payload = {"id": event_id, "old": public}
    kept = {"old": personal} if personal else None
    return JournalRow(name, record.id, record.version, f"{name}.deleted.v1", payload, kept, codec.subject(record))
