"""How SQLAlchemy's ORM is observed: what it is about to write, and what it wrote, in flushes and in statements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import BinaryExpression, ClauseElement, Connection, Table, event, inspect, select
from sqlalchemy.sql.visitors import iterate

from ..logs import facts
from ..storage.join import joined
from .bulk import BulkWatch, Rows
from .made_keys import keys_of_inserts
from .recording import Recorder, Records
from .returned import rows_fetched
from .room import log

if TYPE_CHECKING:
    from ..crm import CRM
    from ..storage.adopted import Adoption

WAITING = "crm_observed"


class Observer:
    """Listens to ORM sessions for one CRM.

    Args:
        recorder: writes down what became of rows.
    """

    def __init__(self, crm: CRM, recorder: Recorder) -> None:
        self._crm = crm
        self._recorder = recorder
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
            return self._inserting(state, entity)
        ids = [adoption.key.id(value) for value in _matching(state, key)]
        olds = self._look(state.session, entity, ids, ids if state.is_delete else ())
        with rows_fetched(self._connection(state.session, entity)):
            result = state.invoke_statement(execution_options={WAITING: True})
        self._journal(state.session, entity, olds, ())
        return result

    def _inserting(self, state: Any, entity: type[Any]) -> Any:
        adoption, connection = self._crm.tables.adopted[entity], self._connection(state.session, entity)
        with joined(self._crm.bound, connection):
            before = self._recorder.highest(connection, entity)
        given = dict.fromkeys(value for value in _given(state, adoption) if _is_below(value, before))
        new = self._recorder.absent(connection, entity, [*given])
        with keys_of_inserts(connection, adoption.key.column, returned=before is None) as found, rows_fetched(connection):
            result = state.invoke_statement(execution_options={WAITING: True})
        made = [value for value in found if value is not None and value not in given and _is_below(value, before)]
        new += [*self._recorder.unseen(connection, entity, made), *self._recorder.above(connection, entity, before)]
        self._journal(state.session, entity, {}, new)
        if None in found and before is None:
            log.warning(
                "%s got rows by an INSERT that does not tell their keys: the journal and subscribers do not know of them. "
                "Give the keys, or let the column's default= make them in Python; adoption.fill() takes up the rows.",
                adoption.table.name,
                extra=facts("adopted_keys_unknown", table=adoption.table.name),
            )
        return result

    def _in_bulk(self, session: Any, statement: Any, rows: Rows) -> Callable[[Any], None]:
        """Read the rows that a statement of ``bulk_save_objects`` and its kin is about; return what journals them when it was executed."""
        entity = self._entities[statement.table]
        adoption = self._crm.tables.adopted[entity]
        key = statement.table.c[adoption.key.column.name]
        connection = self._connection(session, entity)
        if statement.is_insert:
            with joined(self._crm.bound, connection):
                before = self._recorder.highest(connection, entity)

            def made(result: Any) -> None:
                keys = {row[0] for row in result.inserted_primary_key_rows}
                ids = [adoption.key.id(value) for value in sorted(keys - {None})]
                if None in keys:  # an SQLite that does not return them
                    ids += [each for each in self._recorder.above(connection, entity, before) if each not in ids]
                self._journal(session, entity, {}, ids)

            return made
        compared = (each for each in iterate(statement.whereclause) if isinstance(each, BinaryExpression) and each.left is key)
        bind = str(next(compared).right.key)
        olds = self._look(session, entity, [adoption.key.id(row[bind]) for row in rows], ())
        return lambda _: self._journal(session, entity, olds, ())

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def _look(self, session: Any, entity: type[Any], ids: Sequence[str], gone: Sequence[str]) -> Records:
        return self._recorder.before(self._connection(session, entity), entity, ids, gone, by=session.info.get("crm_actor"))

    def _journal(self, session: Any, entity: type[Any], olds: Records, new: Sequence[str]) -> None:
        if olds or new:
            self._recorder.after(self._connection(session, entity), entity, olds, new, by=session.info.get("crm_actor"))

    def _connection(self, session: Any, entity: type[Any]) -> Connection:
        """Return the connection that the session writes the entity's table with; it may have several."""
        found: Connection = session.connection(bind_arguments={"clause": self._crm.tables.adopted[entity].table})
        return found


def _is_below(value: Any, highest: int | None) -> bool:
    """Say whether a new row's key must be known: those of numbers above the highest one are found by it."""
    return highest is None or (isinstance(value, int) and value <= highest)


def _given(state: Any, adoption: Adoption) -> Iterator[Any]:
    """Yield the keys that an insert gives, in its parameters or its values; not those that the database is to make of an expression."""
    statement, mapper = state.statement, state.bind_mapper
    column = statement.table.c[adoption.key.column.name]
    attributes = mapper.column_attrs if mapper is not None else ()
    names = {column.name, column.key, *(each.key for each in attributes if column in each.columns)}
    parameters = state.parameters if isinstance(state.parameters, list) else [state.parameters or {}]
    several = (row for rows in statement._multi_values for row in rows)
    for row in (*parameters, statement._values or {}, *several):
        for name, value in row.items():
            value = getattr(value, "effective_value", value)
            if getattr(name, "key", name) in names and value is not None and not isinstance(value, ClauseElement):
                yield value


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
