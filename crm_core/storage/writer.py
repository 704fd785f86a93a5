"""Rows and journal, one statement each per batch, on the driver's executemany. Only the pipeline calls it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Connection, Dialect, Table

from ..entities.codec import Codec
from ..entities.meta import spec
from ..entities.validate import plain
from .tables import Tables

CHUNK = 1_000
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
FORMAT = 1


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


@attrs.frozen
class JournalRow:
    """One change or domain event, before it is written. ``payload`` and ``personal`` are plain JSON."""

    entity: str
    record: str
    version: int
    kind: str
    payload: Mapping[str, Any]
    personal: Mapping[str, Any] | None = None


def _placeholders(dialect: Dialect, count: int) -> list[str]:
    if dialect.paramstyle in ("numeric", "numeric_dollar"):
        return [f"${i + 1}" for i in range(count)]
    return ["?" if dialect.paramstyle == "qmark" else "%s"] * count


class Writer:
    """The statements of one CRM, built once.

    Statements go to the driver as text with positional values: rows come ready from the generated codecs, so SQLAlchemy's per-row
    work (four times the cost of a row) is not needed.
    """

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        self._tables = tables
        self._dialect = dialect
        self._sqlite = dialect.name == "sqlite"
        self._statements: dict[Any, str] = {}
        quote = dialect.identifier_preparer
        self._journal = self._insert(tables.system.journal, JOURNAL, extra={} if self._sqlite else {"xid": "pg_current_xact_id()"})
        self._quote = quote

    def _insert(self, table: Table, columns: Sequence[str], extra: Mapping[str, str] | None = None) -> str:
        quote = self._dialect.identifier_preparer
        names = [quote.quote(c) for c in (*columns, *(extra or {}))]
        values = [*_placeholders(self._dialect, len(columns)), *(extra or {}).values()]
        return f"INSERT INTO {quote.format_table(table)} ({', '.join(names)}) VALUES ({', '.join(values)})"

    def _run(self, connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if len(rows) == 1:
            connection.exec_driver_sql(statement, rows[0])
            return
        for start in range(0, len(rows), CHUNK):
            connection.exec_driver_sql(statement, list(rows[start : start + CHUNK]))

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def insert(self, connection: Connection, codec: Codec, records: Sequence[Any]) -> None:
        """Write new records and their list entries."""
        statement = self._statements.get(codec.entity)
        if statement is None:
            statement = self._statements[codec.entity] = self._insert(self._tables.entities[codec.entity], codec.columns)
        to_row = codec.to_row
        self._run(connection, statement, [to_row(r) for r in records])
        for name, field in codec.fields.items():
            if field.kind == "list":
                self._insert_list(connection, codec, name, records)

    def update(self, connection: Connection, codec: Codec, records: Sequence[Any], names: Iterable[str]) -> None:
        """Write the fields *names* (and the version, who and when) of changed records."""
        fields = sorted({*names, "version", "updated_at", "updated_by"})
        columns = tuple(c for n in fields for c in codec.fields[n].columns)
        key = (codec.entity, columns)
        statement = self._statements.get(key)
        if statement is None:
            statement = self._statements[key] = self._update(self._tables.entities[codec.entity], columns)
        at = [codec.columns.index(c) for c in columns]
        rows = []
        for record in records:
            row = codec.to_row(record)
            rows.append((*(row[i] for i in at), record.id, record.version - 1))
        self._run(connection, statement, rows)
        for name in names:
            if codec.fields[name].kind == "list":
                self._delete_list(connection, codec, name, [r.id for r in records])
                self._insert_list(connection, codec, name, records)

    def _update(self, table: Table, columns: Sequence[str]) -> str:
        quote = self._dialect.identifier_preparer
        marks = _placeholders(self._dialect, len(columns) + 2)
        sets = ", ".join(f"{quote.quote(c)} = {m}" for c, m in zip(columns, marks, strict=False))
        return f"UPDATE {quote.format_table(table)} SET {sets} WHERE id = {marks[-2]} AND version = {marks[-1]}"

    def _insert_list(self, connection: Connection, codec: Codec, name: str, records: Sequence[Any]) -> None:
        rows = [
            (record.tenant, record.id, position, value, bool(getattr(item, "primary", False)))
            for record in records
            for position, item in enumerate(codec.get(record, name))
            if (value := item.index_value)
        ]
        if rows:
            table = self._tables.lists[codec.entity, codec.fields[name].column]
            self._run(connection, self._insert(table, ("tenant", "record", "position", "value", "is_primary")), rows)

    def _delete_list(self, connection: Connection, codec: Codec, name: str, ids: Sequence[str]) -> None:
        table = self._tables.lists[codec.entity, codec.fields[name].column]
        mark = _placeholders(self._dialect, 1)[0]
        statement = f"DELETE FROM {self._dialect.identifier_preparer.format_table(table)} WHERE record = {mark}"
        self._run(connection, statement, [(i,) for i in ids])

    # -- journal ------------------------------------------------------------------------------------------------------------------

    def journal(self, connection: Connection, origin: Origin, rows: Iterable[JournalRow]) -> None:
        """Append journal rows, in order."""
        at: Any = origin.at.isoformat(timespec="microseconds") if self._sqlite else origin.at
        head = (origin.tenant, at, origin.actor, origin.on_behalf_of, origin.plugin, origin.reason, origin.request)
        chain = {"chain": list(origin.chain)} if origin.chain else {}
        dumps = json.dumps
        self._run(
            connection,
            self._journal,
            [
                (
                    *head,
                    r.entity,
                    r.record,
                    r.version,
                    r.kind,
                    FORMAT,
                    dumps({**r.payload, **chain}),
                    dumps(r.personal) if r.personal else None,
                )
                for r in rows
            ],
        )


def split_personal(codec: Codec, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Turn values into plain JSON, those of personal fields apart."""
    public: dict[str, Any] = {}
    personal: dict[str, Any] = {}
    for name, value in values.items():
        field = codec.fields[name]
        (personal if field.options.pii else public)[name] = plain(field, value)
    return public, personal


def created_row(codec: Codec, record: Any, event_id: str) -> JournalRow:
    """Describe a new record; fields that are None or empty are left out."""
    values = {n: v for n, v in codec.values(record).items() if v is not None and v != [] and not codec.fields[n].system}
    public, personal = split_personal(codec, values)
    name = codec.facts.name
    return JournalRow(
        name, record.id, record.version, f"{name}.created.v1", {"id": event_id, "new": public}, {"new": personal} if personal else None
    )


def updated_row(codec: Codec, old: Any, new: Any, names: Iterable[str], event_id: str, verb: str = "updated") -> JournalRow:
    """Describe what changed, as pairs [old, new] a field."""
    public: dict[str, Any] = {}
    personal: dict[str, Any] = {}
    for n in sorted(names):
        field = codec.fields[n]
        pair = [plain(field, codec.get(old, n)), plain(field, codec.get(new, n))]
        (personal if field.options.pii else public)[n] = pair
    name = spec(codec.entity).name
    extra = {"changes": personal} if personal else None
    return JournalRow(name, new.id, new.version, f"{name}.{verb}.v1", {"id": event_id, "changes": public}, extra)


def deleted_row(codec: Codec, record: Any, event_id: str) -> JournalRow:
    """Describe a record that is gone, with its last values."""
    values = {n: v for n, v in codec.values(record).items() if v is not None and v != [] and not codec.fields[n].system}
    public, personal = split_personal(codec, values)
    name = codec.facts.name
    return JournalRow(
        name, record.id, record.version, f"{name}.deleted.v1", {"id": event_id, "old": public}, {"old": personal} if personal else None
    )
