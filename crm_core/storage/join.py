"""Our statements in the host's transaction: they commit or vanish with it, and nothing of ours can end it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Engine, StaticPool

from ..errors import Refused
from . import sqlite
from .failures import typed

if TYPE_CHECKING:
    from .engine import Bound


@contextmanager
def joined(bound: Bound, on: Any, *, write: bool = True) -> Iterator[Connection]:
    """Give a connection whose statements run in the transaction of *on*.

    An ORM session is flushed first, and expired afterwards so that it reads what we changed.

    Args:
        bound: the CRM's database.
        on: a SQLAlchemy Connection or ORM Session (of an AsyncConnection or AsyncSession, its synchronous side, inside ``run_sync``),
            a ``sqlite3.Connection`` or a ``psycopg.Connection``.
        write: begin for writing where the host has not begun yet.

    Raises:
        Refused: *on* is nothing we can join, is in driver autocommit (each statement would be final at once), belongs to another kind
            of database, or is an SQLite transaction without foreign keys.
    """
    if isinstance(on, Connection):
        _require_kind(bound, on.dialect.name)
        with typed(write=write, at=bound.url):
            begin_on(on, write=write)
            _require_foreign_keys(on)
        yield on
    elif isinstance(on, sqlite3.Connection) or _is_psycopg(on):
        _require_kind(bound, "sqlite" if isinstance(on, sqlite3.Connection) else "postgresql")
        with _over(bound, on) as connection, joined(bound, connection, write=write):
            yield connection
    elif hasattr(on, "flush") and hasattr(on, "expire_all") and not _is_async(on):
        on.flush()
        try:
            with joined(bound, on.connection(), write=write) as connection:
                yield connection
        finally:
            on.expire_all()
    else:
        raise Refused("cannot_join_async" if _is_async(on) else "cannot_join", given=type(on).__name__)


def _is_async(on: Any) -> bool:
    return hasattr(on, "run_sync")


def begin_on(connection: Connection, *, write: bool = True) -> None:
    """Make sure that the host's connection is in a transaction that the host will end.

    The sqlite3 module begins only before INSERT, UPDATE and DELETE, deferred, and never before DDL or SAVEPOINT: here SQLite is told at
    once. Foreign keys are switched on where that is still possible.

    Raises:
        Refused: ``host_autocommit``, the driver would commit each statement alone.
    """
    dbapi: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite":
        if _autocommits(connection, dbapi):
            raise Refused("host_autocommit")
        return
    if not connection.in_transaction() and not sqlite.in_transaction(dbapi):
        sqlite.run(dbapi, "PRAGMA foreign_keys = 1")
        # SQLAlchemy begins by itself, and with it the host's listeners that begin for real.
        connection.exec_driver_sql("SELECT 1")
    if not sqlite.in_transaction(dbapi):
        if sqlite.commits_by_itself(dbapi):
            raise Refused("host_autocommit")
        sqlite.run(dbapi, "PRAGMA foreign_keys = 1")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
    sqlite.register(dbapi)


def is_untouched(on: Any) -> bool:
    """Say whether SQLite has begun no transaction on what a host gave, so that another connection may write meanwhile."""
    if isinstance(on, sqlite3.Connection):
        return not on.in_transaction
    if isinstance(on, Connection):
        return not sqlite.in_transaction(on.connection.dbapi_connection)
    clean = hasattr(on, "flush") and not _is_async(on) and not (on.new or on.dirty or on.deleted)
    return clean and is_untouched(on.connection())


def _autocommits(connection: Connection, dbapi: Any) -> bool:
    if not connection.dialect.detect_autocommit_setting(dbapi):
        return False
    info = getattr(dbapi, "info", None)  # psycopg's: a transaction may be open all the same, by ``with connection.transaction()``
    return info is None or not info.transaction_status


def _require_foreign_keys(connection: Connection) -> None:
    """Refuse where our references would not be kept; SQLite cannot switch that inside a transaction."""
    if connection.dialect.name == "sqlite" and not sqlite.run(connection.connection.dbapi_connection, "PRAGMA foreign_keys"):
        raise Refused("foreign_keys_off")


def _require_kind(bound: Bound, name: str) -> None:
    if name != bound.kind:
        raise Refused("wrong_database", expected=bound.kind, given=name)


def _is_psycopg(on: object) -> bool:
    return type(on).__module__.startswith("psycopg") and hasattr(on, "cursor")


def _over(bound: Bound, raw: Any) -> Connection:
    """Put SQLAlchemy over the host's raw connection, without the first-connect questions a new engine would ask on it."""
    ours = bound.synchronous()
    ours.ready()
    return Engine(StaticPool(lambda: cast(Any, _HostConnection(raw))), ours.engine.dialect, ours.engine.url).connect()


class _HostConnection:
    """The host's raw connection, as far as it is ours: it runs statements and gives plain rows, but ends nothing."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self._raw, sqlite3.Connection):
            cursor = self._raw.cursor()
            cursor.row_factory = None
            return cursor
        from psycopg.rows import tuple_row

        return self._raw.cursor(*args, **{**kwargs, "row_factory": tuple_row})

    def commit(self) -> None:
        """Leave it to the host."""

    rollback = close = commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
