"""Positions: PostgreSQL hands out a journal row's id before its transaction commits, so readers need another, dense number.

A reader that remembers the highest *id* misses the rows of transactions that commit late. The sequencer gives each committed row the
next position; readers go by position and miss nothing. Within one record the order of ids is the order of commits, because the
record's row lock is taken before the journal is written; so positions keep each record's order.

How far back must a pass look for late rows? An INSERT holds a ROW EXCLUSIVE lock on the journal from before it draws an id until its
transaction has ended and is visible. So the transactions that may still bring an id up to *mark* are among those that held the lock
once *mark* was read. When all of them are gone, whatever is missing up to *mark* was rolled back and never comes: that is the *floor*,
where passes begin. Only transactions that write this very journal count; what else runs on the server does not matter.

On SQLite one writer at a time makes ids dense and ordered: the position is the id.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, func, insert, select, text, update

from ..entities.upsert import upsert

if TYPE_CHECKING:
    from ..storage.tables import Tables

PASS = 20_000
_HOLDERS = """
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND relation = CAST(:journal AS regclass)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid IS DISTINCT FROM pg_backend_pid()
"""
# A prepared transaction keeps its locks under a number that says nothing of the one it had before.
_PREPARED = "-1/"


@attrs.frozen
class _State:
    """Up to *floor* all is settled; up to *mark* it is as soon as the transactions *waiting* names have ended."""

    floor: int
    mark: int
    waiting: frozenset[str]


def sequence(connection: Connection, tables: Tables, *, limit: int = PASS) -> int:
    """Give positions to committed rows that have none, at most *limit*, and return how many.

    Passes exclude each other by a row lock that is held until the transaction ends; so keep it short, and give it READ COMMITTED:
    under a snapshot taken earlier, positions are still given, but the floor stays.
    """
    if not unsequenced(connection, tables):
        return 0
    state = _locked_state(connection, tables)
    # The order of these three statements is the proof: first the mark, then who may still be below it, then the snapshot that reads.
    newest = _newest(connection, tables)
    holders = _holders(connection, tables)
    given, last = _give(connection, tables, state.floor, limit)
    current = connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"
    new = _advanced(state, newest, holders, current, last if given == limit else None)
    if new != state:
        values = {"floor": new.floor, "mark": new.mark, "waiting": sorted(new.waiting)}
        connection.execute(update(tables.system.sequencer).values(values))
    return given


def _advanced(state: _State, newest: int, holders: Collection[str], current: bool, cut: int | None) -> _State:
    """Return the state after a pass; *cut* is the last id of a pass that ended at its limit."""
    waiting = state.waiting.intersection(holders)
    if not current or waiting or any(h.startswith(_PREPARED) for h in holders):
        return attrs.evolve(state, waiting=waiting or state.waiting)
    if cut is not None and cut < state.mark:
        return attrs.evolve(state, floor=cut, waiting=frozenset())
    seen = newest if cut is None else min(newest, cut)
    return _State(state.mark if holders else seen, newest, frozenset(holders))


def unsequenced(connection: Connection, tables: Tables) -> bool:
    """Say whether a pass could find anything."""
    if connection.dialect.name == "sqlite":
        return False
    floor = connection.execute(select(tables.system.sequencer.c.floor)).scalar()
    return _newest(connection, tables) > (floor or 0)


def _newest(connection: Connection, tables: Tables) -> int:
    return int(connection.execute(select(func.coalesce(func.max(tables.system.journal.c.id), 0))).scalar_one())


def _locked_state(connection: Connection, tables: Tables) -> _State:
    table = tables.system.sequencer
    statement = select(table.c.floor, table.c.mark, table.c.waiting).with_for_update()
    row = connection.execute(statement).one_or_none()
    if row is None:
        connection.execute(upsert(table, connection.dialect.name).values(id=1, floor=0, mark=0, waiting=[]).on_conflict_do_nothing())
        row = connection.execute(statement).one()
    return _State(row.floor, row.mark, frozenset(row.waiting))


def _holders(connection: Connection, tables: Tables) -> frozenset[str]:
    name = connection.dialect.identifier_preparer.format_table(tables.system.journal)
    return frozenset(connection.execute(text(_HOLDERS), {"journal": name}).scalars())


def _give(connection: Connection, tables: Tables, floor: int, limit: int) -> tuple[int, int]:
    """Insert the positions; return how many, and the id of the last row that got one."""
    journal, positions = tables.system.journal, tables.system.journal_position
    known = select(positions.c.journal_id).where(positions.c.journal_id == journal.c.id, positions.c.journal_id > floor)
    missing = select(journal.c.id).where(journal.c.id > floor, ~known.exists()).order_by(journal.c.id).limit(limit).subquery()
    # Below one stands a tenant's history that came from a backup; whoever reads from the start begins behind it.
    top = select(func.greatest(func.max(positions.c.position), 0)).scalar_subquery()
    numbered: Any = select(top + func.row_number().over(order_by=missing.c.id), missing.c.id)
    given = insert(positions).from_select(["position", "journal_id"], numbered).returning(positions.c.journal_id)
    ids = connection.execute(given).scalars().all()
    return len(ids), max(ids, default=0)
