"""Reading a whole CRM, or one tenant, as it stands in one transaction: table by table, row by row, in canonical values.

The journal is numbered by position, which every row of it has on either database: on SQLite the row's own number is its position, on
PostgreSQL the sequencer gave it one, or would in the next pass. So one number is enough, and subscriptions keep their places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, Select, select

from ...events.journal import last_position
from .layout import OF_ALL_TENANTS, Layout, Part
from .values import asked, encoders, line

if TYPE_CHECKING:
    from ..tables import Tables

BATCH = 1_000


@attrs.frozen
class Rows:
    """One table on its way: read *lines*, each a row as a JSON array, before the next table."""

    name: str
    columns: tuple[str, ...]
    lines: Iterator[bytes]


@attrs.frozen
class Count:
    """How many rows a table has, the SHA-256 of its lines, and the columns that a line has."""

    rows: int
    sha256: str
    columns: tuple[str, ...]


def total(tables: Mapping[str, Count]) -> int:
    """Return how many rows there are in all tables."""
    return sum(count.rows for count in tables.values())


class Tally:
    """Counts and sums what goes through it."""

    def __init__(self) -> None:
        self.tables: dict[str, Count] = {}

    def through(self, tables: Iterator[Rows]) -> Iterator[Rows]:
        """Pass tables on, counted once their lines were read."""
        for rows in tables:
            yield Rows(rows.name, rows.columns, self._counted(rows))

    def _counted(self, rows: Rows) -> Iterator[bytes]:
        digest, number = hashlib.sha256(), 0
        for text in rows.lines:
            digest.update(text)
            number += 1
            yield text
        self.tables[rows.name] = Count(number, digest.hexdigest(), rows.columns)


@attrs.frozen
class Extent:
    """What to read.

    Attributes:
        tenant: of this one alone; None: of all.
        shift: what to add to the journal's numbers.
        upto: the last of these numbers to read; None: any.
    """

    tenant: str | None = None
    shift: int = 0
    upto: int | None = None


def read(connection: Connection, layout: Layout, extent: Extent) -> Iterator[Rows]:
    """Yield every table of a backup; give it a transaction in which the database stands still."""
    tables = layout.tables
    for part in layout.parts:
        if extent.tenant is not None and (part.name in OF_ALL_TENANTS or not part.has_tenant):
            continue
        lines = _journal(connection, tables, part, extent) if part.table is tables.system.journal else _table(connection, part, extent)
        yield Rows(part.name, tuple(c.name for c in part.columns), lines)


def _table(connection: Connection, part: Part, extent: Extent) -> Iterator[bytes]:
    statement = _select(connection, part, extent).order_by(*part.table.primary_key)
    place = [c.name for c in part.columns].index(part.number) if part.number else None
    for row in _rows(connection, part, statement):
        if place is not None:
            row[place] += extent.shift
        yield line(row)


def _journal(connection: Connection, tables: Tables, part: Part, extent: Extent) -> Iterator[bytes]:
    place = [c.name for c in part.columns].index("id")
    for position, row in _positioned(connection, tables, part, extent):
        number = position + extent.shift
        if extent.upto is None or number <= extent.upto:
            row[place] = number
            yield line(row)


def _positioned(connection: Connection, tables: Tables, part: Part, extent: Extent) -> Iterator[tuple[int, list[Any]]]:
    journal, given = tables.system.journal, tables.system.journal_position
    statement = _select(connection, part, extent)
    if connection.dialect.name == "sqlite":
        for row in _rows(connection, part, statement.add_columns(journal.c.id).order_by(journal.c.id)):
            yield row.pop(), row
        return
    sequenced = statement.add_columns(given.c.position).join(given, given.c.journal_id == journal.c.id).order_by(given.c.position)
    for row in _rows(connection, part, sequenced):
        yield row.pop(), row
    waiting = statement.where(~select(given.c.position).where(given.c.journal_id == journal.c.id).exists()).order_by(journal.c.id)
    yield from zip(count(last_position(connection, tables) + 1), _rows(connection, part, waiting))


def _select(connection: Connection, part: Part, extent: Extent) -> Select[Any]:
    statement = select(*(asked(c, connection.dialect.name) for c in part.columns)).select_from(part.table)
    return statement if extent.tenant is None else statement.where(part.table.c.tenant == extent.tenant)


def _rows(connection: Connection, part: Part, statement: Select[Any]) -> Iterator[list[Any]]:
    """Yield rows of canonical values, whatever stands behind the part's columns as it is."""
    convert = encoders(part.columns, connection.dialect.name)
    with connection.execute(statement, execution_options={"yield_per": BATCH}) as result:
        for found in result:
            row = list(found)
            for i, encode in convert:
                if row[i] is not None:
                    row[i] = encode(row[i])
            yield row
