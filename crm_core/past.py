"""The past: an actor's view of the records as they were at an instant, rebuilt from the journal behind the lens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, overload

from sqlalchemy import Connection, Result, and_, func, select, tuple_

from .entities.customer import ExchangeRate
from .entities.entity import Entity
from .entities.fields import Ref
from .entities.meta import logical_table, spec
from .entities.sealing import CELL, ERASED
from .entities.validate import structure
from .errors import Invalid
from .events.journal import VERBS, Entry, since
from .permissions.money_sql import converts
from .permissions.past import as_json
from .permissions.plans import as_filter
from .permissions.prepared import driver_rows
from .storage.writer import LISTED_COLUMNS, chunks, list_rows

if TYPE_CHECKING:
    from sqlalchemy import Executable
    from sqlalchemy.sql.selectable import TypedReturnsRows

    from .entities.codec import Codec, Loader
    from .query import Query
    from .session import Session

E = TypeVar("E", bound=Entity)
R = TypeVar("R")
Ts = TypeVarTuple("Ts")
MOST_CHANGED = 100_000


class Past:
    """The records as they were at an instant, as this session's actor may see them: today's roles over the values of then.

    Who owned a record then sees it, where a rule says owner; directory, teams and shares are those of now, and so are settings. Records
    that were there and are deleted now are seen, later ones are not. A rate "of today" is that of the instant. What was erased is gone
    from the past too. The cost grows with the number of records that changed since, not with the size of the tables.
    """

    def __init__(self, session: Session, at: datetime) -> None:
        if at.utcoffset() is None:
            raise Invalid("naive_datetime", field="at")
        self.at = at
        inner = session.derive()
        inner.__dict__ |= {"shape": _ShapeThen(session, at), "binds": {**session.binds, "crm_now": at}}
        self._session = inner

    def get(self, entity: type[E], id: str | Ref[E]) -> E:
        """Return a record as it was.

        Raises:
            NotFound: it was not there, or not for this actor.
            Invalid: ``past_too_far``: more than 100,000 records of an entity changed since; so the other methods.
        """
        return self._session.get(entity, id)

    def find(self, entity: type[E], id: str | Ref[E] | None) -> E | None:
        """Return a record as it was, or None where it was not there for this actor."""
        return self._session.find(entity, id)

    def get_many(self, entity: type[E], ids: Iterable[str | Ref[E]]) -> list[E]:
        """Return the records of *ids* in that order, leaving out what was not there for this actor."""
        return self._session.get_many(entity, ids)

    def query(self, entity: type[E]) -> Query[E]:
        """Start a query of the records as they were."""
        return self._session.query(entity)

    @overload
    def execute(self, stmt: TypedReturnsRows[*Ts]) -> Result[*Ts]: ...
    @overload
    def execute(self, stmt: Executable) -> Result[*tuple[Any, ...]]: ...
    def execute(self, stmt: Any) -> Result[*tuple[Any, ...]]:
        """Run any select over entities on the records as they were, like :meth:`Session.execute`."""
        return self._session.execute(stmt)


class _ShapeThen:
    """A policy's lens at one instant: what a session reads with."""

    def __init__(self, session: Session, at: datetime) -> None:
        self._present = session.shape
        self._moment = _Moment(session, at)
        self.policy = session.policy

    def execute(self, session: Session, statement: Any) -> Result[Any]:
        """Run a statement on the records as they were."""
        return self._moment.run(session, statement, lambda *given: self._moment.lens.execute(*given).freeze())()

    def rows(self, session: Session, statement: Any) -> list[Any]:
        """Run a statement on the records as they were and return the driver's rows."""
        return self._moment.run(session, statement, self._moment.lens.raw)

    def get(self, session: Session, entity: type[Any], id_: str) -> Any:
        """Read one record by id."""
        statement, load = self.reading(session, entity)
        rows = self.rows(session, statement.where(logical_table(entity).c.id == id_))
        return load(rows[0]) if rows else None

    def reading(self, session: Session, entity: type[Any]) -> tuple[Any, Loader]:
        """Return a select of all that can be read of an entity, and the function that makes a record of each of its rows."""
        return self._present.reading(session, entity)


class _Moment:
    """What has changed since an instant, read once an entity, and again where something was committed meanwhile."""

    def __init__(self, session: Session, at: datetime) -> None:
        self._crm = session.crm
        self._tenant = session.actor.tenant
        self._at = at
        self._journal = session.crm.tables.system.journal
        self._shape, self._tables = session.shape.past
        self.lens = self._shape.lens
        self._known: dict[type[Any], tuple[int, dict[str, str]]] = {}

    def run(self, session: Session, statement: Any, work: Callable[[Connection, Any, Mapping[str, Any]], R]) -> R:
        """Run a statement between two looks at the journal that find it the same: another transaction may commit at any time."""
        asked = self._asked(statement)
        connection = session._unit.connection
        while True:
            counts = self._counts(connection, asked)
            binds = dict(session.binds)
            for entity in asked:
                binds |= self._binds(connection, entity, counts[entity])
            found = work(connection, statement, binds)
            if self._counts(connection, asked) == counts:
                return found

    def _asked(self, statement: Any) -> set[type[Any]]:
        """Return the entities that a statement reads, those that policies ask about included."""
        found: set[type[Any]] = set()
        wanted = self._tables.mentioned(statement) | ({ExchangeRate} if converts(statement) else set())
        while wanted:
            found |= wanted
            wanted = {e for entity in wanted for e in self._tables.asked(self._shape.policies(entity))} - found
        return found

    def _counts(self, connection: Connection, entities: Iterable[type[Any]]) -> dict[type[Any], int]:
        """Count what the journal has of entities since; it only ever grows."""
        journal, names = self._journal, {spec(e).name: e for e in entities}
        wanted = select(journal.c.entity, func.count()).where(self._since(), journal.c.entity.in_(sorted(names)))
        rows = connection.execute(wanted.group_by(journal.c.entity)).all() if names else []
        return dict.fromkeys(names.values(), 0) | {names[name]: count for name, count in rows}

    def _since(self) -> Any:
        return and_(self._journal.c.tenant == self._tenant, self._journal.c.at > self._at)

    def _binds(self, connection: Connection, entity: type[Any], count: int) -> dict[str, str]:
        known = self._known.get(entity)
        if known is None or known[0] != count:
            known = self._known[entity] = (count, self._rebuilt(connection, entity))
        return known[1]

    def _rebuilt(self, connection: Connection, entity: type[Any]) -> dict[str, str]:
        codec, journal = self._crm.codec(entity), self._journal
        name, kind = codec.facts.name, self._crm.bound.kind
        kinds = [f"{name}.{verb}.v1" for verb in sorted(VERBS)]
        wanted = select(journal.c.record).distinct().where(self._since(), journal.c.entity == name, journal.c.kind.in_(kinds))
        ids = list(connection.execute(wanted.limit(MOST_CHANGED + 1)).scalars())
        if len(ids) > MOST_CHANGED:
            raise Invalid("past_too_far", entity=name, at=self._at, limit=MOST_CHANGED)
        rows: list[tuple[Any, ...]] = []
        lists: dict[str, list[tuple[Any, ...]]] = {n: [] for n in codec.lists}
        for part in chunks(ids):
            records = list(self._part(connection, codec, part, kinds))
            rows += self._stored(connection, codec, records)
            for n, found in lists.items():
                found += list_rows(codec, n, records)
        nested = [f.column for f in codec.fields.values() if f.kind in ("json", "list") and not f.options.sealed]
        listed = {codec.fields[n].column: as_json(LISTED_COLUMNS, found, kind) for n, found in lists.items()}
        columns = [column.name for column in self._crm.tables.entities[entity].c]
        return self._tables.binds(entity, ids, as_json(columns, rows, kind, nested), listed)

    def _stored(self, connection: Connection, codec: Codec, records: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
        """Return the rows of records in the order of their table: they go to the database in binds, so what is sealed goes as cells."""
        rows: Iterable[tuple[Any, ...]] = map(codec.to_row, records)
        sealer = self._crm.tables.sealer
        if not codec.sealed or sealer is None:
            return rows
        order = [codec.stored.index(column.name) for column in self._crm.tables.entities[codec.entity].c]
        sealed = sealer.cells(connection, self._tenant, codec, records, list(rows))
        return [tuple(row[i] for i in order) for row in sealed]

    def _part(self, connection: Connection, codec: Codec, ids: Sequence[str], kinds: Sequence[str]) -> Iterable[Any]:
        """Return those of some records that there were, as they were, by undoing what came later."""
        journal = self._journal
        mine = and_(journal.c.record.in_(ids), journal.c.tenant == self._tenant, journal.c.kind.in_(kinds))
        last = (
            select(journal.c.record, func.max(journal.c.version))
            .where(mine, as_filter(journal.c.at <= self._at))
            .group_by(journal.c.record)
        )
        facts = [journal.c[n] for n in ("record", "version", "kind", "at", "actor")]
        wanted = select(*facts).where(mine, tuple_(journal.c.record, journal.c.version).in_(last))
        then = {row.record: row for row in connection.execute(wanted) if not row.kind.endswith(".deleted.v1")}
        undone: dict[str, list[Entry]] = {}
        for entry in since(connection, self._crm.tables, self._tenant, ids, self._at):
            if entry.record in then and entry.is_automatic and entry.version > then[entry.record].version:
                undone.setdefault(entry.record, []).append(entry)
        for record in self._now(connection, codec, sorted(then)):
            facts_then = then[record.id]
            for entry in sorted(undone.get(record.id, ()), key=lambda e: -e.version):
                _undo(codec, record, {name: old for name, (old, _) in entry.changes.items()})
            record.version, record.updated_at, record.updated_by = facts_then.version, facts_then.at, facts_then.actor
            record.deleted_at = None
            yield record

    def _now(self, connection: Connection, codec: Codec, ids: Sequence[str]) -> Iterable[Any]:
        table = self._crm.tables.entities[codec.entity]
        columns, load = codec.loader(codec.every)
        wanted = select(*(table.c[c].info.get(CELL, table.c[c]) for c in columns)).where(
            table.c.tenant == self._tenant, table.c.id.in_(ids)
        )
        return map(load, driver_rows(connection.execute(wanted)))


def _undo(codec: Codec, record: Any, olds: Mapping[str, Any]) -> None:
    for name, old in olds.items():
        field = codec.fields.get(name)
        if field is not None and old != ERASED:  # else its plugin is not here any more, or the value is gone for good
            codec.set(record, name, [] if old is None and field.kind == "list" else structure(codec.facts.name, field, old))
