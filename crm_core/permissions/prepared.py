"""Prepared: a select compiled once and run as a string on the driver, for the reads that are made most often."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import attrs
from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

from ..errors import Refused


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
        if not connection.in_transaction():
            connection.begin()
        dbapi: Any = connection.connection
        with closing(dbapi.cursor()) as cursor:
            try:
                cursor.execute(self.sql, self.arguments(params))
                return list(cursor.fetchall())
            except connection.dialect.loaded_dbapi.Error as e:
                lost = connection.dialect.is_disconnect(e, dbapi, cursor)
                if lost:
                    connection.invalidate(e)
                raise DBAPIError(self.sql, None, e, connection_invalidated=lost) from e


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
