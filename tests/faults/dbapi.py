"""The DBAPI of the standard ``sqlite3``, as far as the core uses it, over apsw: its SQLite takes file systems written in Python.

``sqlite+apsw:///path?vfs=name`` opens a database through it, on the path that every URL of ours takes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import apsw
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import ConnectArgsType
from sqlalchemy.engine.url import URL

apilevel, threadsafety, paramstyle = "2.0", 1, "qmark"
sqlite_version = apsw.sqlite_lib_version()
sqlite_version_info = tuple(map(int, sqlite_version.split(".")))
PARSE_DECLTYPES = PARSE_COLNAMES = 0
Binary = bytes
Warning = sqlite3.Warning
Error = sqlite3.Error
InterfaceError = sqlite3.InterfaceError
DatabaseError = sqlite3.DatabaseError
DataError = sqlite3.DataError
OperationalError = sqlite3.OperationalError
IntegrityError = sqlite3.IntegrityError
InternalError = sqlite3.InternalError
ProgrammingError = sqlite3.ProgrammingError
NotSupportedError = sqlite3.NotSupportedError

_KINDS: dict[type[apsw.Error], type[sqlite3.Error]] = {
    apsw.ConstraintError: IntegrityError,
    apsw.MismatchError: IntegrityError,
    apsw.ConnectionClosedError: ProgrammingError,
    apsw.CorruptError: DatabaseError,
    apsw.NotADBError: DatabaseError,
    apsw.TooBigError: DataError,
}


def _raised(error: apsw.Error) -> sqlite3.Error:
    """Say what apsw raised as ``sqlite3`` would, codes included."""
    found = _KINDS.get(type(error), OperationalError)(str(error))
    code = getattr(error, "extendedresult", 0) or getattr(error, "result", 0) or 1
    found.sqlite_errorcode = code
    names = {**apsw.mapping_result_codes, **apsw.mapping_extended_result_codes}
    found.sqlite_errorname = str(names.get(code, "SQLITE_ERROR"))
    return found


class Cursor:
    """A cursor that reads all rows at once, which is when SQLite's statement ends."""

    arraysize = 1
    lastrowid: int | None = None

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self._rows: Iterator[Any] = iter(())

    def execute(self, sql: str, parameters: Any = ()) -> Cursor:
        """Run a statement."""
        self._run(sql, [parameters])
        return self

    def executemany(self, sql: str, rows: Any) -> Cursor:
        """Run a statement for each of *rows*."""
        self._run(sql, rows)
        return self

    def _run(self, sql: str, rows: Any) -> None:
        raw = self.connection.raw
        self.description = None
        try:
            cursor = raw.cursor()
            cursor.exec_trace = self._begun
            before = raw.total_changes()
            found: list[Any] = []
            for row in rows:
                found += cursor.execute(sql, row if isinstance(row, dict) else tuple(row))
            writes = sql.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE", "REPLAC")
            self.rowcount = raw.total_changes() - before if writes else -1
            self.lastrowid = raw.last_insert_rowid()
            self._rows = iter(found)
        except apsw.Error as e:
            raise _raised(e) from e

    def _begun(self, cursor: Any, _sql: str, _bindings: Any) -> bool:
        columns = cursor.get_description()
        self.description = [(name, None, None, None, None, None, None) for name, *_ in columns] or None
        return True

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        return [row for _, row in zip(range(size or self.arraysize), self._rows, strict=False)]

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def close(self) -> None:
        """Forget the rows."""
        self._rows = iter(())


class Connection:
    """A connection that begins nothing by itself: ``isolation_level`` is always None, as the core has it."""

    isolation_level: None = None

    def __init__(self, raw: apsw.Connection) -> None:
        self.raw = raw

    @property
    def in_transaction(self) -> bool:
        """Whether SQLite is in a transaction."""
        return self.raw.in_transaction

    def cursor(self, *_: Any) -> Cursor:
        """Return a cursor."""
        return Cursor(self)

    def execute(self, sql: str, parameters: Any = ()) -> Cursor:
        """Run a statement on a cursor of its own."""
        return self.cursor().execute(sql, parameters)

    def commit(self) -> None:
        """End the transaction, if there is one."""
        if self.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        if self.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file; what goes wrong in the last checkpoint loses nothing, and sqlite3 does not tell of it either."""
        with suppress(apsw.Error):
            self.raw.close()

    def create_function(self, name: str, narg: int, func: Any, *, deterministic: bool = False) -> None:
        """Teach SQLite a function."""
        self.raw.create_scalar_function(name, func, narg, deterministic=deterministic)

    def set_progress_handler(self, handler: Any, n: int) -> None:
        """Let SQLite ask *handler* after every *n* instructions."""
        self.raw.set_progress_handler(handler, n)


def connect(database: str, *, vfs: str | None = None, timeout: float = 5.0, **_: Any) -> Connection:
    """Open a database, through the file system *vfs*."""
    try:
        raw = apsw.Connection(database, vfs=vfs)
        raw.set_busy_timeout(int(timeout * 1000))
    except apsw.Error as e:
        raise _raised(e) from e
    return Connection(raw)


class Dialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's SQLite on this module."""

    driver = "apsw"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """Return this module."""
        import tests.faults.dbapi as module

        return module

    def create_connect_args(self, url: URL) -> ConnectArgsType:
        """Take the file system's name out of the URL."""
        vfs = url.query.get("vfs")
        return [str(url.database)], {} if vfs is None else {"vfs": vfs}


registry.register("sqlite.apsw", __name__, "Dialect")
