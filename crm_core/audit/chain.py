"""The chain: each tenant's journal rows in the order of their positions, each sealed with a hash over itself and the seal before it.

Rows are sealed after their commit, a batch at a time: read and hashed without a lock, written in a short transaction of its own. So no
writer waits for it, and the chain of a journal is the same whoever seals it, and how often they begin anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, Table, and_, func, insert, select

from ..events.sequencer import PASS as SEQUENCED
from ..events.sequencer import sequence, unsequenced
from ..permissions.prepared import driver_rows
from .canonical import Row, columns, newest, personal_digest, row_digest, row_of, seal_hash

if TYPE_CHECKING:
    from ..storage.engine import Bound
    from ..storage.tables import Tables

PASS = 1_000
START = ""


@attrs.frozen
class Head:
    """The end of a tenant's chain: how many rows are sealed, and the hash of the last seal."""

    tenant: str
    number: int
    hash: str


@attrs.frozen
class Seal:
    """One row of the table of seals."""

    position: int
    tenant: str
    number: int
    personal: str | None
    hash: str


def journal_by_position(tables: Tables, kind: str) -> tuple[Any, Any]:
    """Return the journal with the column of its rows' positions."""
    journal, positions = tables.system.journal, tables.system.journal_position
    if kind == "sqlite":
        return journal, journal.c.id
    return journal.join(positions, positions.c.journal_id == journal.c.id), positions.c.position


def frontier(connection: Connection, tables: Tables) -> int:
    """Return the position up to which all is sealed."""
    return newest(connection, tables.system.seal.c.position)


def tenants(connection: Connection, *tables: Table) -> Iterator[str]:
    """Walk the tenants of some tables along their keys, which begin with the tenant, not along all entries."""
    last: str | None = ""
    while last is not None:
        nexts = [connection.execute(select(func.min(t.c.tenant)).where(t.c.tenant > last)).scalar() for t in tables]
        last = min((n for n in nexts if n is not None), default=None)
        if last is not None:
            yield last


def heads(connection: Connection, tables: Tables, names: Iterable[str]) -> dict[str, Head]:
    """Return the ends of some tenants' chains, by tenant."""
    seal = tables.system.seal
    found: dict[str, Head] = {}
    for name in names:
        last = select(seal.c.number, seal.c.hash).where(seal.c.tenant == name).order_by(seal.c.number.desc()).limit(1)
        row = connection.execute(last).first()
        if row is not None:
            found[name] = Head(name, row.number, row.hash)
    return found


def seal_pass(bound: Bound, tables: Tables, *, wait: bool = True) -> tuple[int, list[Head]]:
    """Seal the next rows, at most 1,000; return how many were found and the new ends of the chains they are in.

    The ends are none where another process sealed these rows first.

    Args:
        wait: for others on PostgreSQL who seal just now. Who does not leaves the rows to them, instead of hashing them, too.
    """
    if not wait and bound.kind == "postgresql":
        with bound.begin(unlimited=True) as connection:
            if not _has_lock(connection, tables):
                return 0, []
            _, seals, ends = _next(connection, tables)
            _write(connection, tables, seals)
        return len(seals), ends
    with bound.begin(write=False, unlimited=True) as connection:
        done, seals, ends = _next(connection, tables)
    if not seals:
        return 0, []
    with bound.begin(unlimited=True) as connection:
        _lock(connection, tables)
        if frontier(connection, tables) != done:
            return len(seals), []
        _write(connection, tables, seals)
    return len(seals), ends


def _next(connection: Connection, tables: Tables) -> tuple[int, list[Seal], list[Head]]:
    """Return how far all is sealed, the next seals, and the ends of the chains with them."""
    done = frontier(connection, tables)
    rows = _rows(connection, tables, done)
    known = heads(connection, tables, {row.tenant for _, row in rows}) if rows else {}
    return done, *_sealed(rows, known)


def _write(connection: Connection, tables: Tables, seals: Sequence[Seal]) -> None:
    if seals:
        connection.execute(insert(tables.system.seal), [attrs.asdict(s) for s in seals])


def sequence_all(bound: Bound, tables: Tables) -> None:
    """Give positions to all committed rows; on SQLite they have them."""
    if bound.kind == "sqlite":
        return
    with bound.begin(write=False, unlimited=True) as connection:
        given = SEQUENCED if unsequenced(connection, tables) else 0
    while given == SEQUENCED:
        with bound.begin(unlimited=True) as connection:
            given = sequence(connection, tables)


def _rows(connection: Connection, tables: Tables, after: int) -> list[tuple[int, Row]]:
    source, position = journal_by_position(tables, connection.dialect.name)
    wanted = select(position, *columns(tables.system.journal)).select_from(source)
    found = driver_rows(connection.execute(wanted.where(position > after).order_by(position).limit(PASS)))
    return [(row[0], row_of(row[1:])) for row in found]


def _sealed(rows: Sequence[tuple[int, Row]], known: dict[str, Head]) -> tuple[list[Seal], list[Head]]:
    ends: dict[str, Head] = {}
    seals = []
    for position, row in rows:
        before = ends.get(row.tenant) or known.get(row.tenant) or Head(row.tenant, 0, START)
        number, personal = before.number + 1, personal_digest(row)
        hash_ = seal_hash(before.hash, row.tenant, number, row_digest(row), personal)
        seals.append(Seal(position, row.tenant, number, personal, hash_))
        ends[row.tenant] = Head(row.tenant, number, hash_)
    return seals, list(ends.values())


def _lock(connection: Connection, tables: Tables) -> None:
    """Let one process write seals at a time; SQLite's BEGIN IMMEDIATE does."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_key(tables))))


def _has_lock(connection: Connection, tables: Tables) -> bool:
    """Take PostgreSQL's lock for writing seals, unless another process has it."""
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(_key(tables)))).scalar_one())


def _key(tables: Tables) -> int:
    return int.from_bytes(hashlib.sha256(tables.system.seal.fullname.encode()).digest()[:8], "big", signed=True)


def unsealed(connection: Connection, tables: Tables, upto: int, tenant: str | None = None) -> dict[str, int]:
    """Count the rows behind position *upto*, and on PostgreSQL those without one yet, by tenant."""
    journal, positions = tables.system.journal, tables.system.journal_position
    if connection.dialect.name == "sqlite":
        parts = [select(journal.c.tenant).where(journal.c.id > upto)]
    else:
        late = positions.c.journal_id == journal.c.id
        floor = select(func.coalesce(func.max(tables.system.sequencer.c.floor), 0)).scalar_subquery()
        parts = [
            select(journal.c.tenant).join(positions, and_(late, positions.c.position > upto)),
            select(journal.c.tenant).where(journal.c.id > floor, ~select(positions.c.position).where(late).exists()),
        ]
    counts: dict[str, int] = {}
    for part in parts:
        asked = part if tenant is None else part.where(journal.c.tenant == tenant)
        rows = asked.subquery()
        for name, count in connection.execute(select(rows.c.tenant, func.count()).group_by(rows.c.tenant)):
            counts[name] = counts.get(name, 0) + count
    return counts
