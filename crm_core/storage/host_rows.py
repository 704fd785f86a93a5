"""Rows of the host's own tables: new ids, and the first sight of rows that the journal does not know yet.

A row is unseen while its ``crm_version`` is NULL: it was there before us, or was written past us. Whoever changes it first, or
``crm.adoption.fill()``, writes down how it was found, so that its history is whole from there on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, Dialect, TextClause, func, select, text

from ..errors import Refused
from ..permissions.prepared import send
from .adopted_values import HOST
from .writer import created_row, placeholders

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..runtime import Ids
    from ..scope import Scope
    from .adopted import Adoption
    from .tables import Tables

REASON = "adopted"


class HostRows:
    """What one CRM does in the host's own tables besides reading and writing fields."""

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        self._tables = tables
        self._dialect = dialect
        self._highest: dict[type[Any], int] = {}
        self._lock = Lock()

    def ids(self, connection: Connection, entity: type[Any], ids: Ids, count: int) -> Sequence[str]:
        """Return ids for new rows: of the numbers that the host's table would give them, or of our own making where its key is a Uuid.

        Raises:
            Refused: ``adopted_no_sequence``: on PostgreSQL nothing gives out the numbers.
        """
        adoption = self._tables.adopted[entity]
        if not adoption.key.numeric:
            return ids.many(count)
        if self._dialect.name == "postgresql":
            return [adoption.key.id(n) for n in self._sequence(connection, adoption, count)]
        highest = connection.execute(select(func.coalesce(func.max(adoption.key.column), 0))).scalar_one()
        highest = max(highest, self._told(connection, adoption))
        # Who writes holds SQLite's lock; within one transaction numbers may be given out before their rows are there.
        with self._lock:
            first = max(highest, self._highest.get(entity, 0)) + 1
            self._highest[entity] = first + count - 1
        return [adoption.key.id(first + i) for i in range(count)]

    def _told(self, connection: Connection, adoption: Adoption) -> int:
        """Return the highest number that the journal knows: SQLite gives those of deleted rows again, and an id is for ever."""
        records = self._tables.system.journal.c.record
        first, last = adoption.key.id(0), adoption.key.id((1 << 63) - 1)
        known = connection.execute(select(func.max(records)).where(records.between(first, last))).scalar()
        return 0 if known is None else int(adoption.key.value(str(known), self._dialect.name))

    def _sequence(self, connection: Connection, adoption: Adoption, count: int) -> Sequence[int]:
        table = self._dialect.identifier_preparer.format_table(adoption.table)
        name = connection.execute(select(func.pg_get_serial_sequence(table, adoption.key.column.name))).scalar()
        if name is None:
            raise Refused("adopted_no_sequence", table=adoption.table.name, column=adoption.key.column.name)
        return connection.execute(select(func.nextval(name)).select_from(func.generate_series(1, count))).scalars().all()

    def see(self, session: Scope, codec: Codec, records: Iterable[Any]) -> int:
        """Write down those of some records, as they were read, that were unseen; return how many there were.

        Who else sees one at the same time waits for us, and then finds it seen.
        """
        adoption = self._tables.adopted.get(codec.entity)
        known = {record.id: record for record in records} if adoption is not None else {}
        if adoption is None or not known:
            return 0
        connection = session._unit.connection
        marked = set(self._mark(connection, adoption, [*known]))
        unseen = [record for id_, record in known.items() if id_ in marked]
        again = self.renew(connection, adoption, unseen)
        if again:
            self.stamp(connection, codec, again, new=False)
        self._journal(session, codec, unseen)
        return len(unseen)

    def renew(self, connection: Connection, adoption: Adoption, records: Sequence[Any]) -> list[Any]:
        """Let rows with the keys of deleted ones, or that lost our columns, go on with the versions that the journal has; return those."""
        journal = self._tables.system.journal
        found: list[Any] = []
        for start in range(0, len(records), 500):
            part = {record.id: record for record in records[start : start + 500]}
            last = select(journal.c.record, func.max(journal.c.version)).where(
                journal.c.record.in_(part), journal.c.entity == adoption.name
            )
            for id_, version in connection.execute(last.group_by(journal.c.record)):
                part[id_].version = version + 1
                found.append(part[id_])
        return found

    def stamp(self, connection: Connection, codec: Codec, records: Sequence[Any], *, new: bool) -> None:
        """Write version, who and when of rows that the host wrote, as far as these are columns of ours."""
        adoption = self._tables.adopted[codec.entity]
        names = ("version", "updated_at", "updated_by", *(("created_at", "created_by") if new else ()))
        ours = tuple(n for n in names if adoption.places[n].ours)
        quote = self._dialect.identifier_preparer
        sets = ", ".join(f"{quote.quote(adoption.places[n].name)} = {self._mark_of(i)}" for i, n in enumerate(ours))
        key = quote.quote(adoption.id_column)
        statement = f"UPDATE {quote.format_table(adoption.table)} SET {sets} WHERE {key} = {self._mark_of(len(ours))}"
        at = [codec.stored.index(n) for n in (*ours, "id")]
        whole = (codec.to_row(record) for record in records)
        send(connection, statement, [tuple(row[i] for i in at) for row in whole])

    def _mark_of(self, number: int) -> str:
        return placeholders(self._dialect, number + 1)[-1]

    def _mark(self, connection: Connection, adoption: Adoption, ids: Sequence[str]) -> Iterator[str]:
        quote = self._dialect.identifier_preparer
        key, version = (quote.quote(adoption.places[n].name) for n in ("id", "version"))
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            marks = ", ".join(f":i{i}" if self._dialect.name == "sqlite" else f"CAST(:i{i} AS uuid)" for i in range(len(part)))
            statement = f"UPDATE {quote.format_table(adoption.table)} SET {version} = 1 WHERE {key} IN ({marks}) AND {version} IS NULL"
            found = connection.execute(text(f"{statement} RETURNING {key}"), {f"i{i}": id_ for i, id_ in enumerate(part)})
            yield from (str(row[0]) for row in found)

    def _journal(self, session: Scope, codec: Codec, records: Sequence[Any]) -> None:
        connection = session._unit.connection
        writer = session.crm.writer(connection)
        origin = attrs.evolve(session.origin(), actor=HOST, on_behalf_of=None, plugin="", reason=REASON)
        for at, dated in groupby(records, key=lambda record: record.created_at):
            found = list(dated)
            held = writer.keys(connection, codec, found, fresh=True)
            events = session.crm.runtime.ids.many(len(found))
            rows = [created_row(codec, record, event) for record, event in zip(found, events, strict=True)]
            writer.journal(connection, attrs.evolve(origin, at=at), rows, held)


def emptied(adoption: Adoption, dialect: Dialect, tenant: str | None) -> TextClause:
    """Write the update that takes a tenant's rows, or all, back to what they were before we saw them: our columns are NULL."""
    quote = dialect.identifier_preparer
    ours = [quote.quote(place.name) for name, place in adoption.places.items() if place.ours and place.name and name != "id"]
    sets = ", ".join(f"{name} = NULL" for name in ours)
    whole = f"UPDATE {quote.format_table(adoption.table)} SET {sets} WHERE {quote.quote(adoption.places['version'].name)} IS NOT NULL"
    if tenant is None:
        return text(whole)
    return text(f"{whole} AND {adoption.places['tenant'].sql(dialect)} = :tenant").bindparams(tenant=tenant)
