"""Subscriptions: how far each subscriber has read, and who may move it on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import attrs
from sqlalchemy import Connection, or_, select, update

from ..entities.upsert import upsert
from ..errors import Conflict
from .journal import last_position
from .sequencer import sequence

if TYPE_CHECKING:
    from ..storage.tables import Tables
    from .subscribers import Subscriber


class Fenced(Conflict):
    """Another worker took the subscription over meanwhile; what this one did since is rolled back."""

    default_code = "delivery_fenced"


@attrs.frozen
class Claim:
    """The right to move a subscription on from *position*; *token* is the proof, and worth nothing once another was given out."""

    name: str
    position: int
    token: int


def database_now(connection: Connection) -> datetime:
    """Return the database's time: leases of several machines are measured with one clock."""
    if connection.dialect.name == "sqlite":
        given = connection.exec_driver_sql("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')").scalar_one()
        return datetime.fromisoformat(given).replace(tzinfo=UTC)
    now: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return now


def register(connection: Connection, tables: Tables, wanted: Iterable[Subscriber], now: datetime) -> None:
    """Give new subscriptions their first position: the journal's end, or its beginning where they ask for it."""
    table = tables.system.subscription
    known = set(connection.execute(select(table.c.name)).scalars())
    new = [s for s in wanted if s.name not in known]
    if not new:
        return
    while sequence(connection, tables):
        pass
    end = last_position(connection, tables)
    rows = [{"name": s.name, "position": 0 if s.from_start else end, "token": 0, "updated_at": now} for s in new]
    connection.execute(upsert(table, connection.dialect.name).on_conflict_do_nothing(), rows)


def claim(connection: Connection, tables: Tables, name: str) -> Claim | None:
    """Take a subscription for the rest of the transaction, or return None where another transaction has it.

    On PostgreSQL the claim is the row's lock, on SQLite the transaction itself.
    """
    table = tables.system.subscription
    statement = select(table.c.position, table.c.token).where(table.c.name == name).with_for_update(skip_locked=True)
    row = connection.execute(statement).one_or_none()
    return None if row is None else Claim(name, row.position, row.token)


def lease(connection: Connection, tables: Tables, name: str, period: timedelta) -> Claim | None:
    """Take a subscription for *period*, beyond the transaction, or return None where another lease still runs."""
    table = tables.system.subscription
    now = database_now(connection)
    statement = (
        update(table)
        .where(table.c.name == name, or_(table.c.until.is_(None), table.c.until <= now))
        .values(token=table.c.token + 1, until=now + period)
        .returning(table.c.position, table.c.token)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else Claim(name, row.position, row.token)


def advance(connection: Connection, tables: Tables, held: Claim, position: int, now: datetime, *, until: datetime | None = None) -> Claim:
    """Move a claimed subscription to *position*; a lease runs on to *until*, or ends.

    Raises:
        Fenced: somebody else was given the subscription since.
    """
    table = tables.system.subscription
    statement = update(table).where(table.c.name == held.name, table.c.token == held.token)
    done = connection.execute(statement.values(position=position, until=until, updated_at=now))
    if done.rowcount != 1:
        raise Fenced(subscription=held.name, token=held.token)
    return attrs.evolve(held, position=position)


def fence(connection: Connection, tables: Tables, name: str) -> None:
    """Make all claims on a subscription worthless, after the batch that has it now."""
    table = tables.system.subscription
    connection.execute(update(table).where(table.c.name == name).values(token=table.c.token + 1, until=None))
