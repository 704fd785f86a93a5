"""Transactions of our own: how they begin, what holds while they run, and how they end, on an engine of ours and on the host's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, StaticPool
from sqlalchemy.exc import DBAPIError

from ..errors import CommitOutcomeUnknown, Refused
from . import sqlite
from .limits import limited
from .supported import ServerVersion
from .wal import WalSync


class Transactions:
    """The transactions on one engine.

    Args:
        given: the engine as the host made it, or we.
        engine: the same, for transactions that write.
        owned: it is ours, and nobody else's settings are on its connections.
        asynchronous: the host gave an AsyncEngine, of which *given* is the synchronous side.
        queue: the line of the writers of an SQLite file.
        version: of the server, checked at the first connection.
    """

    def __init__(
        self, given: Engine, engine: Engine, *, owned: bool, asynchronous: bool, queue: sqlite.WriteQueue | None, version: ServerVersion
    ) -> None:
        self._on_sqlite = engine.dialect.name == "sqlite"
        reading = {"isolation_level": "READ COMMITTED", "postgresql_readonly": True}
        still = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._writing = engine
        self._reading = engine if self._on_sqlite else given.execution_options(**reading)
        self._looking = engine if self._on_sqlite else given.execution_options(isolation_level="AUTOCOMMIT")
        self._still = engine if self._on_sqlite else given.execution_options(**still)
        self._owned = owned
        self._is_async = asynchronous
        self._shared = isinstance(given.pool, StaticPool)
        self._queue = queue
        self._version = version

    @contextmanager
    def begin(self, write: bool, seconds: float | None) -> Iterator[Connection]:
        """Open a connection and a transaction: commit on leaving, roll back on an exception.

        Args:
            seconds: that each statement may take; None: any.

        Raises:
            CommitOutcomeUnknown: the connection broke, or the disk failed, during COMMIT.
        """
        owed: list[WalSync] = []
        with self._turn(write), self._opened(self._writing if write else self._reading, write, seconds, owed) as connection:
            yield connection
        for sync in owed:
            sync.wait()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a reading transaction in which the database stands still."""
        with self._turn(False), self._opened(self._still, False, None, []) as connection:
            yield connection

    @contextmanager
    def looking(self, seconds: float | None) -> Iterator[Connection]:
        """Open a connection that is in no transaction between its statements."""
        with self._looking.connect() as connection:
            self._version.check(connection)
            prepared = self._prepared(connection, write=False) if self._on_sqlite else nullcontext()
            with prepared, limited(connection, seconds, looking=True):
                yield connection

    def _turn(self, write: bool) -> AbstractContextManager[None]:
        if self._queue is None or not (write or self._shared):
            return nullcontext()
        return self._queue.turn(asynchronous=self._is_async)

    @contextmanager
    def _opened(self, engine: Engine, write: bool, seconds: float | None, owed: list[WalSync]) -> Iterator[Connection]:
        with engine.connect() as connection:
            self._version.check(connection)
            begun = self._begun(connection, write, owed) if self._on_sqlite else nullcontext()
            with begun, limited(connection, seconds):
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                # Of a reader whose COMMIT a server cuts nobody shall think that its outcome is unknown.
                _commit(connection) if write or self._on_sqlite else connection.rollback()

    @contextmanager
    def _begun(self, connection: Connection, write: bool, owed: list[WalSync]) -> Iterator[None]:
        """Begin for real: the driver's own BEGIN is late and deferred, and loses against other writers."""
        dbapi = connection.connection.dbapi_connection
        with self._prepared(connection, write), self._sharing_sync(connection, dbapi, write, owed):
            connection.begin()
            # The host may begin in a listener of its own.
            if not sqlite.in_transaction(dbapi):
                self._begin_sqlite(dbapi, write)
            yield

    @contextmanager
    def _sharing_sync(self, connection: Connection, dbapi: Any, write: bool, owed: list[WalSync]) -> Iterator[None]:
        """Let a transaction commit without an fsync of its own where others wait, and note the one that is *owed* after it."""
        sync = self._queue.shared_sync if write and self._owned and not self._is_async and self._queue is not None else None
        if sync is None or not sqlite.leave_unsynced(dbapi):
            yield
            return
        try:
            yield
        finally:
            if not connection.invalidated:
                try:
                    connection.rollback()
                    sqlite.sync_again(dbapi)
                except BaseException:
                    connection.invalidate()
                    raise
        owed.append(sync)

    def _begin_sqlite(self, dbapi: Any, write: bool) -> None:
        if write and not self._is_async:
            sqlite.begin_immediate(dbapi)
        else:
            sqlite.run(dbapi, "BEGIN IMMEDIATE" if write else "BEGIN")

    @contextmanager
    def _prepared(self, connection: Connection, write: bool) -> Iterator[None]:
        """Give an SQLite connection our settings, and a host's its own back."""
        dbapi = connection.connection.dbapi_connection
        before: dict[str, int] = {}
        if self._owned:
            _permit_writes(connection, dbapi, write)
        else:
            before = sqlite.prepare(dbapi, read_only=not write)
            if write:
                sqlite.prefer_wal(dbapi)
        try:
            yield
        finally:
            if before and not connection.invalidated:
                connection.rollback()
                sqlite.apply(dbapi, before)


def _permit_writes(connection: Connection, dbapi: Any, write: bool) -> None:
    """Let SQLite itself refuse what a reading session must not do; a connection that was last used so stays so."""
    if connection.info.get("crm_writes", True) is not write:
        sqlite.apply(dbapi, {"query_only": not write})
        connection.info["crm_writes"] = write


def _commit(connection: Connection) -> None:
    if sqlite.is_gone(connection):
        raise Refused("host_transaction_failed")
    try:
        connection.commit()
    except DBAPIError as e:
        if e.connection_invalidated:
            raise CommitOutcomeUnknown from e
        raise
