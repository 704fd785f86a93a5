"""Prepared: a select compiled once and run as a string on the driver, for the reads that are made most often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import attrs
from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

from ..errors import Refused

# Under this name a connection keeps what must know that a statement begins.
CLOCK = "crm_statement_clock"


@attrs.frozen(eq=False)
class Prepared:
    """One statement's text and how its values are given.

    Attributes:
        sql: in the driver's own parameter style.
        names: the parameters in order, where the driver counts them; None where it goes by name.
    """

    sql: str
    names: tuple[str, ...] | None
    _fixed: Mapping[str, Any]
    _given: tuple[tuple[str, str, Callable[[Any], Any] | None], ...]

    def arguments(self, params: Mapping[str, Any]) -> Sequence[Any] | dict[str, Any]:
        """Return what the driver takes, for values by name."""
        values = dict(self._fixed)
        for name, key, convert in self._given:
            value = params.get(key)
            values[name] = value if convert is None else convert(value)
        return values if self.names is None else [values[name] for name in self.names]

    def fetch(self, connection: Connection, params: Mapping[str, Any]) -> list[Any]:
        """Run it; return the driver's rows, whose values no type has read.

        Raises:
            DBAPIError: the database refuses, as from any other statement.
        """
        return run(connection, self.sql, self.arguments(params))


def run(connection: Connection, sql: str, arguments: Any) -> list[Any]:
    """Run a select on the driver, without the tenth of a millisecond that SQLAlchemy takes; return its rows.

    Args:
        arguments: in the driver's own style.

    Raises:
        DBAPIError: the database refuses, as from any other statement.
    """
    with _cursor(connection, sql) as cursor:
        cursor.execute(sql, arguments)
        return list(cursor.fetchall())


def send(connection: Connection, sql: str, rows: Sequence[Any]) -> int:
    """Run a statement that writes on the driver, for each of *rows*; return how many rows the driver counted, or -1.

    Raises:
        DBAPIError: the database refuses, as from any other statement.
    """
    with _cursor(connection, sql) as cursor:
        if len(rows) == 1:
            cursor.execute(sql, rows[0])
        else:
            cursor.executemany(sql, rows)
        return int(cursor.rowcount)


@contextmanager
def _cursor(connection: Connection, sql: str) -> Iterator[Any]:
    if not connection.in_transaction():
        connection.begin()
    dbapi: Any = connection.connection
    clock = dbapi.info.get(CLOCK)
    if clock is not None:
        clock.start(sql)
    with closing(dbapi.cursor()) as cursor:
        try:
            yield cursor
        except connection.dialect.loaded_dbapi.Error as e:
            lost = connection.dialect.is_disconnect(e, dbapi, cursor)
            if lost:
                connection.invalidate(e)
            raise DBAPIError(sql, None, e, connection_invalidated=lost) from e


def driver_rows(result: Any) -> list[Any]:
    """Return the rows of a result that nothing was read from, as the driver gave them."""
    rows = list(result.cursor.fetchall())
    result.close()
    return rows


def prepare(compiled: Any, dialect: Dialect) -> Prepared:
    """Take a compiled statement apart.

    Raises:
        Refused: ``not_preparable``: its text depends on its values (a list in IN).
    """
    if not isinstance(compiled, SQLCompiler) or compiled.post_compile_params or compiled.literal_execute_params:
        raise Refused("not_preparable")
    fixed: dict[str, Any] = {}
    given: list[tuple[str, str, Callable[[Any], Any] | None]] = []
    for bind, plain in compiled.bind_names.items():
        name = compiled.escaped_bind_names.get(plain, plain)
        convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if bind.unique:
            fixed[name] = bind.effective_value if convert is None else convert(bind.effective_value)
        else:
            given.append((name, bind.key, convert))
    names = tuple(compiled.positiontup or ()) if compiled.positional else None
    return Prepared(compiled.string, names, fixed, tuple(given))
