"""Bringing rows in, and taking rows out: of a whole CRM, or of one tenant. What is done is the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, delete, func, insert, literal, select, text, update

from ...permissions.prepared import send
from ..host_rows import emptied
from ..host_table import HostTable
from .layout import MADE_BY_ITSELF, OF_THE_JOURNAL, Layout, Part, named
from .reading import BATCH, Count, Extent, Rows, Tally
from .values import decoders, from_json

Open = Callable[[], Iterator[Rows]]


def is_empty(connection: Connection, layout: Layout, tenant: str | None = None) -> bool:
    """Say whether there are no records, of a tenant or at all.

    Subscriptions and jobs, which a migration makes, are none, nor is what a dropped tenant leaves.
    """
    for part in layout.parts:
        if part.name in MADE_BY_ITSELF or (tenant is None and part.name == "subscription"):
            continue
        if tenant is not None and (part.name in OF_THE_JOURNAL or not part.has_tenant):
            continue
        found = select(literal(1)).select_from(part.table).where(*_mine(part.table, tenant)).limit(1)
        if connection.scalar(found) is not None:
            return False
    return True


def rows_of(connection: Connection, layout: Layout, tenant: str) -> dict[str, int]:
    """Return how many rows a tenant has, by table; those that have none are left out, and tables that are the host's."""
    found: dict[str, int] = {}
    for part in layout.parts:
        if part.has_tenant and not isinstance(part.table, HostTable):
            counted = select(func.count()).select_from(part.table).where(*_mine(part.table, tenant))
            if count := connection.scalar(counted):
                found[part.name] = count
    return found


def clear(connection: Connection, layout: Layout, tenant: str | None = None, *, upto: int | None = None) -> None:
    """Delete all rows, or a tenant's. What mirrors the host's directory stays, and so do rows of the host's own: in them the columns that
    we added are emptied, so that they are as before we saw them.

    Args:
        upto: the last row of the journal to delete.
    """
    system = layout.tables.system
    rows = system.journal.c.id
    mine = [*_mine(system.journal, tenant), *([] if upto is None else [rows <= upto])]
    numbers = select(rows).where(*mine)
    if connection.dialect.name == "sqlite":
        positions: Any = numbers
    else:
        given = system.journal_position
        positions = select(given.c.position).where(given.c.journal_id.in_(numbers))
    whole = tenant is None and upto is None
    connection.execute(delete(system.parking).where(*([] if whole else [system.parking.c.position.in_(positions)])))
    connection.execute(delete(system.journal_position).where(*([] if whole else [system.journal_position.c.journal_id.in_(numbers)])))
    theirs = [part for part in layout.parts if tenant is None or part.has_tenant]
    for part in theirs:
        if part.later and not isinstance(part.table, HostTable):
            connection.execute(update(part.table).where(*_mine(part.table, tenant)).values(dict.fromkeys(c.name for c in part.later)))
    for part in reversed(theirs):
        if isinstance(part.table, HostTable):
            connection.execute(emptied(part.table.adoption, connection.dialect, tenant))
            continue
        connection.execute(delete(part.table).where(*(mine if part.table is system.journal else _mine(part.table, tenant))))


def load(connection: Connection, layout: Layout, open_rows: Open, *, shift: int = 0) -> dict[str, Count]:
    """Insert all rows, and return how many there were; references to rows that come later are filled in by a second reading.

    Args:
        open_rows: begins to read; it is called again for the second reading.
        shift: what to subtract from the journal's numbers.
    """
    put = _to_sqlite if connection.dialect.name == "sqlite" else _to_postgresql
    waiting, tally = set[str](), Tally()
    for rows in tally.through(open_rows()):
        part = layout.part(rows.name)
        later = {c.name for c in part.later}
        held = [i for i, name in enumerate(rows.columns) if name in later]
        moved = rows.columns.index(part.number) if shift and part.number else None
        lines = rows.lines if not held and moved is None else _changed(rows, held, moved, shift, waiting)
        put(connection, part.table, part.columns, lines)
    if waiting:
        for rows in open_rows():
            if rows.name in waiting:
                _fill_in(connection, layout.part(rows.name), rows)
            else:
                skip(rows)
    return tally.tables


def skip(rows: Rows) -> None:
    """Read a table to its end."""
    for _ in rows.lines:
        pass


def _changed(rows: Rows, held: Sequence[int], moved: int | None, shift: int, waiting: set[str]) -> Iterator[bytes]:
    """Empty references to what is not there yet, and move the journal's numbers."""
    for text_line in rows.lines:
        row = json.loads(text_line)
        if any(row[i] is not None for i in held):
            waiting.add(rows.name)
            for i in held:
                row[i] = None
        if moved is not None:
            row[moved] -= shift
        yield json.dumps(row).encode()


def _to_sqlite(connection: Connection, table: Table, columns: Sequence[Column[Any]], lines: Iterator[bytes]) -> None:
    quote = connection.dialect.identifier_preparer
    names = ", ".join(quote.quote(c.name) for c in columns)
    statement = f"INSERT INTO {quote.format_table(table)} ({names}) VALUES ({', '.join('?' * len(columns))})"
    convert = decoders(columns)

    def stored(text_line: bytes) -> tuple[Any, ...]:
        row = json.loads(text_line)
        for i, decode in convert:
            if row[i] is not None:
                row[i] = decode(row[i])
        return tuple(row)

    while batch := [stored(each) for each in islice(lines, BATCH)]:
        send(connection, statement, batch)


def _to_postgresql(connection: Connection, table: Table, columns: Sequence[Column[Any]], lines: Iterator[bytes]) -> None:
    """Give the server the lines as they are: one statement and one parameter for each thousand rows."""
    quote = connection.dialect.identifier_preparer
    names = ", ".join(quote.quote(c.name) for c in columns)
    values = ", ".join(from_json(c, i) for i, c in enumerate(columns))
    statement = text(
        f"INSERT INTO {quote.format_table(table)} ({names}) OVERRIDING SYSTEM VALUE"
        f" SELECT {values} FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS e (value)"
    )
    while batch := list(islice(lines, BATCH)):
        connection.execute(statement, {"rows": f"[{b','.join(batch).decode()}]"})


def _fill_in(connection: Connection, part: Part, rows: Rows) -> None:
    [key] = part.table.primary_key
    at = rows.columns.index(key.name)
    held = [(rows.columns.index(c.name), c) for c in part.later]
    statement = update(part.table).where(key == bindparam("of")).values({c.name: bindparam(f"to_{i}") for i, c in held})
    pointing = (row for row in map(json.loads, rows.lines) if any(row[i] is not None for i, _ in held))
    while batch := [{"of": row[at], **{f"to_{i}": row[i] for i, _ in held}} for row in islice(pointing, BATCH)]:
        connection.execute(statement, batch)


def _mine(table: Table, tenant: str | None) -> list[Any]:
    return [] if tenant is None else [table.c.tenant == tenant]


def strays(connection: Connection, layout: Layout, tenant: str | None = None) -> list[str]:
    """Return the tables in which a row points at one of another tenant, as no session could have written it."""
    found: list[str] = []
    for part in (part for part in layout.parts if part.has_tenant):
        for key in part.table.foreign_keys:
            to = key.column.table.alias()
            if "tenant" in to.c:
                pointing = part.table.join(to, key.parent == to.c[key.column.name])
                elsewhere = select(literal(1)).select_from(pointing).where(part.table.c.tenant != to.c.tenant, *_mine(part.table, tenant))
                found += [part.name] if connection.scalar(elsewhere.limit(1)) is not None else []
    return sorted(set(found))


def give_positions(connection: Connection, layout: Layout, extent: Extent) -> None:
    """Give the journal's rows that were brought in their positions, and let numbers go on after the highest.

    Args:
        extent: what was brought in; its *shift* is how far the journal's numbers were moved down.
    """
    if connection.dialect.name == "sqlite":
        return
    system = layout.tables.system
    number = system.journal.c.id
    rows = select(number, number.label("of"))
    if extent.tenant is not None:
        rows = rows.where(system.journal.c.tenant == extent.tenant, number < 0)
        rows = rows.where(~select(system.journal_position.c.position).where(system.journal_position.c.journal_id == number).exists())
    connection.execute(insert(system.journal_position).from_select(["position", "journal_id"], rows))
    for table in named(layout.tables):
        for column in table.c:
            if column.identity is not None:
                _go_on(connection, column)


def fence(connection: Connection, layout: Layout, epoch: int) -> None:
    """Make every claim of before worthless, and let the sequencer begin behind what was brought in.

    Args:
        epoch: the subscriptions' next token; higher than any that was given out.
    """
    system = layout.tables.system
    connection.execute(update(system.subscription).values(token=epoch, until=None))
    connection.execute(delete(system.sequencer))
    if connection.dialect.name == "postgresql":
        newest = connection.scalar(select(func.coalesce(func.max(system.journal.c.id), 0)))
        connection.execute(insert(system.sequencer).values(id=1, floor=newest, mark=newest, waiting=[]))


def _go_on(connection: Connection, column: Column[Any]) -> None:
    """Let a column's next number be higher than all that it has."""
    table = connection.dialect.identifier_preparer.format_table(column.table)
    name = connection.dialect.identifier_preparer.format_column(column)
    highest = f"(SELECT greatest(max({name}), 0) FROM {table})"
    sequence = f"pg_get_serial_sequence('{table}', '{column.name}')"
    next_one = f"nextval({sequence})"
    connection.exec_driver_sql(f"SELECT setval({sequence}, greatest(coalesce({highest}, 0), {next_one} - 1, 1), {highest} >= 1)")
