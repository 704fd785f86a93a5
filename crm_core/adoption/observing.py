"""How the host's ORM is observed: rows are read before and after it writes them, and what differs is journalled.

Reading the rows, not the objects, tells the truth also where the database computed a value or the object never loaded the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import BinaryExpression, Connection, Table, event, func, inspect, select
from sqlalchemy.sql.visitors import iterate

from ..entities.entity import Entity
from ..hooks.core_specs import Change
from ..permissions.actor import Actor
from ..storage.changeset import Changeset, Operation
from ..storage.join import joined
from ..storage.shown import differ
from .bulk import BulkWatch, Rows
from .room import rows_of

if TYPE_CHECKING:
    from ..crm import CRM
    from ..entities.codec import Codec
    from ..storage.adopted import Adoption

WAITING = "crm_observed"
Records = dict[str, Entity]


class Observer:
    """Listens to ORM sessions for one CRM.

    Args:
        actor: says who writes, given what the session says and the rows' tenant.
    """

    def __init__(self, crm: CRM, actor: Callable[[Any, str], Actor]) -> None:
        self._crm = crm
        self._actor = actor
        self._entities: dict[Table, type[Any]] = {adoption.table: entity for entity, adoption in crm.tables.adopted.items()}
        self._bulk = BulkWatch(() if crm.safe_mode else self._entities, WAITING, self._in_bulk)

    def listen(self, target: Any) -> None:
        """Begin to listen, once."""
        for name, heard in (
            ("before_flush", self._before),
            ("after_flush", self._after),
            ("do_orm_execute", self._executing),
            *self._bulk.listeners(),
        ):
            if not event.contains(target, name, heard):
                event.listen(target, name, heard)

    # -- flushes ------------------------------------------------------------------------------------------------------------------

    def _before(self, session: Any, _context: object, _instances: object) -> None:
        if self._crm.safe_mode:  # what cannot be journalled now is taken up later
            return
        waiting: dict[type[Any], Records] = {}
        gone = self._keys(session.deleted, stored=True)
        known = {entity: dict.fromkeys(ids) for entity, ids in gone.items()}
        for entity, ids in self._keys(session.dirty, stored=True).items():
            known.setdefault(entity, {}).update(dict.fromkeys(ids))
        for entity, keys in known.items():
            waiting[entity] = self._look(session, entity, [*keys], gone.get(entity, ()))
        for entity in {e for each in session.new if (e := self._entity(each)) is not None} - waiting.keys():
            with joined(self._crm.bound, self._connection(session, entity)):
                pass  # SQLite begins here as we need it; see begin_on
        session.info[WAITING] = waiting

    def _after(self, session: Any, _context: object) -> None:
        waiting: dict[type[Any], Records] | None = session.info.pop(WAITING, None)
        if waiting is None:  # of two listeners, a class's and its sessionmaker's, one is enough
            return
        new = self._keys(session.new, stored=False)
        for entity in {**waiting, **new}:
            self._journal(session, entity, waiting.get(entity, {}), new.get(entity, ()))

    def _keys(self, objects: Iterable[Any], *, stored: bool) -> dict[type[Any], list[str]]:
        """Return the ids of objects in adopted tables, by entity."""
        found: dict[type[Any], list[str]] = {}
        for each in objects:
            entity, state = self._entity(each), inspect(each)
            if entity is not None:
                value = state.identity[0] if stored else state.mapper.primary_key_from_instance(each)[0]
                found.setdefault(entity, []).append(self._crm.tables.adopted[entity].key.id(value))
        return found

    def _entity(self, each: Any) -> type[Any] | None:
        return next((self._entities[t] for t in inspect(each).mapper.tables if t in self._entities), None)

    # -- statements ---------------------------------------------------------------------------------------------------------------

    def _executing(self, state: Any) -> Any:
        writes = state.is_update or state.is_delete or state.is_insert
        if not writes or self._crm.safe_mode or state.execution_options.get(WAITING):
            return None
        table: Any = getattr(state.statement, "table", None)  # a text has none
        entity = next((e for t, e in self._entities.items() if table is not None and t.compare(table)), None)
        if entity is None:
            return None
        adoption = self._crm.tables.adopted[entity]
        key = table.c[adoption.key.column.name]
        if state.is_insert:
            highest = select(func.coalesce(func.max(key), 0)) if adoption.key.numeric else None
            before = None if highest is None else state.session.execute(highest).scalar_one()
            result = state.invoke_statement(execution_options={WAITING: True})
            self._journal(state.session, entity, {}, self._made(state, adoption, before))
            return result
        ids = [adoption.key.id(value) for value in _matching(state, key)]
        olds = self._look(state.session, entity, ids, ids if state.is_delete else ())
        result = state.invoke_statement(execution_options={WAITING: True})
        self._journal(state.session, entity, olds, ())
        return result

    def _in_bulk(self, session: Any, statement: Any, rows: Rows) -> Callable[[Any], None]:
        """Read the rows that a statement of ``bulk_save_objects`` and its kin is about; return what journals them when it was executed."""
        entity = self._entities[statement.table]
        adoption = self._crm.tables.adopted[entity]
        key = statement.table.c[adoption.key.column.name]
        connection = self._connection(session, entity)
        if statement.is_insert:
            with joined(self._crm.bound, connection):
                before = connection.execute(select(func.coalesce(func.max(key), 0))).scalar_one() if adoption.key.numeric else None

            def made(result: Any) -> None:
                keys = {row[0] for row in result.inserted_primary_key_rows}
                if None in keys and before is not None:  # an SQLite that does not return them
                    keys |= set(connection.execute(self._newer(adoption, before)).scalars())
                self._journal(session, entity, {}, [adoption.key.id(value) for value in sorted(keys - {None})])

            return made
        compared = (each for each in iterate(statement.whereclause) if isinstance(each, BinaryExpression) and each.left is key)
        bind = str(next(compared).right.key)
        olds = self._look(session, entity, [adoption.key.id(row[bind]) for row in rows], ())
        return lambda _: self._journal(session, entity, olds, ())

    def _newer(self, adoption: Adoption, before: int) -> Any:
        """Select the keys of rows that came since *before* was the highest one."""
        return select(adoption.key.column).where(adoption.key.column > before, adoption.unseen(self._crm.bound.engine.dialect))

    def _made(self, state: Any, adoption: Adoption, before: int | None) -> list[str]:
        """Return the ids of rows that an insert made: those with a higher number than there was, or the keys that it gave."""
        if before is None:
            given = state.parameters if isinstance(state.parameters, list) else [state.parameters or {}]
            return [adoption.key.id(row[adoption.key.column.name]) for row in given if adoption.key.column.name in row]
        return [adoption.key.id(value) for value in state.session.execute(self._newer(adoption, before)).scalars()]

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def _look(self, session: Any, entity: type[Any], ids: Sequence[str], gone: Sequence[str]) -> Records:
        """Read rows before the host changes them, lock them, take up those that were unseen, and free those that will be *gone*."""
        connection = self._connection(session, entity)
        codec, table = self._crm.codec(entity), self._crm.tables.entities[entity]
        with joined(self._crm.bound, connection):
            found = rows_of(codec, connection, table, ids, lock=True)
        for actor, ours in self._by_tenant(session, found.values()):
            with self._crm.session(actor, on=connection) as s:
                self._crm.writer(connection).hosts.see(s, codec, ours)
                leaving = [r.id for r in ours if r.id in set(gone)]
                if leaving:
                    s.pipeline.release(entity, leaving)
        return found

    def _journal(self, session: Any, entity: type[Any], olds: Records, new: Sequence[str]) -> None:
        """Write down what became of rows."""
        if not olds and not new:
            return
        connection = self._connection(session, entity)
        codec = self._crm.codec(entity)
        now = rows_of(codec, connection, self._crm.tables.entities[entity], [*olds, *new])
        fresh = {id_: now[id_] for id_ in new if id_ in now}
        for actor, ours in self._by_tenant(session, [*olds.values(), *fresh.values()]):
            with self._crm.session(actor, on=connection) as s:
                for op, changes in _changes(codec, ours, olds, now, self._crm.runtime.clock.now()).items():
                    s.pipeline.observed(codec, Changeset(entity, op, changes, list(range(len(changes)))))

    def _connection(self, session: Any, entity: type[Any]) -> Connection:
        """Return the connection that the session writes the entity's table with; it may have several."""
        found: Connection = session.connection(bind_arguments={"clause": self._crm.tables.adopted[entity].table})
        return found

    def _by_tenant(self, session: Any, records: Iterable[Entity]) -> Iterator[tuple[Actor, list[Entity]]]:
        tenants: dict[str, list[Entity]] = {}
        for record in records:
            tenants.setdefault(record.tenant, []).append(record)
        for tenant, ours in tenants.items():
            yield self._actor(session.info.get("crm_actor"), tenant), ours


def _matching(state: Any, key: Any) -> Iterator[Any]:
    """Yield the primary keys of the rows that an update or delete is about to change."""
    statement, given = state.statement, state.parameters
    for row in given if isinstance(given, list) else [given]:
        if statement.whereclause is None and isinstance(given, list):
            yield row[key.key]  # an update by primary key
        else:
            wanted = select(key)
            criteria = () if statement.whereclause is None else (statement.whereclause,)
            yield from state.session.execute(wanted.where(*criteria), row or {}).scalars()


def _changes(codec: Codec, ours: Sequence[Entity], olds: Records, now: Records, at: Any) -> dict[Operation, list[Change]]:
    """Sort what became of records into operations; what happens to a record that the CRM deleted is not told."""
    found: dict[Operation, list[Change]] = {}
    for record in ours:
        old, new = olds.get(record.id), now.get(record.id)
        if old is None:
            assert new is not None
            found.setdefault("create", []).append(Change(record=new, old=None, fields=frozenset()))
        elif new is None or (new.deleted_at is not None and old.deleted_at is None):
            if old.deleted_at is None:
                last = codec.copy(old)
                last.deleted_at = at if new is None else new.deleted_at
                found.setdefault("delete", []).append(Change(record=last, old=old, fields=frozenset({"deleted_at"})))
        elif new.deleted_at is None:
            fields = frozenset(n for n, f in codec.fields.items() if not f.system and differ(codec.get(new, n), codec.get(old, n)))
            restored = old.deleted_at is not None
            if fields or restored:
                op: Operation = "restore" if restored else "update"
                found.setdefault(op, []).append(Change(record=new, old=old, fields=fields))
    return found
