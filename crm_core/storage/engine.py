"""The database a CRM lives in: the host's engine as it is, or one of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, Connection, Dialect, Engine, Pool, StaticPool, event
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

from ..arguments import check
from ..errors import NeedsAwait, Refused
from ..ondemand import OnFirstUse
from . import sqlite
from .failures import typed
from .forking import around_forks, in_use, is_open
from .limits import checked
from .loops import in_a_loop, in_our_loop
from .supported import SYNC_DRIVERS, ServerVersion, check_sqlite, kind_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .transactions import Transactions

R = TypeVar("R")

DJANGO = "django://"


def open_engine(bind: str | Engine | AsyncEngine, *, refuse_affected_sqlite: bool = False, statement_timeout: float | None = None) -> Bound:
    """Bind a CRM to its database.

    Args:
        bind: a URL (``sqlite:///shop.db``, ``postgresql+psycopg://...``) for an engine of our own, the host's engine, whose pool
            and settings stay as they are, or ``django://default`` for a connection of Django's DATABASES.
        refuse_affected_sqlite: refuse, rather than warn of, a SQLite with the WAL-reset bug (before 3.51.3).
        statement_timeout: seconds that each statement of a transaction of our own may take; None: any.

    Raises:
        LoadError: not a URL, neither SQLite nor PostgreSQL, an SQLite that is too old or refused, or no sensible time.
        MissingExtra: the URL's driver is not installed.
    """
    seconds = checked(statement_timeout)
    if isinstance(bind, str) and bind.startswith(DJANGO):
        from .django import DjangoBound

        return DjangoBound(bind.removeprefix(DJANGO))
    if not hasattr(bind, "sync_engine"):
        check(bind, (str, Engine), "a URL or an engine")
    bound = _own(bind, seconds) if isinstance(bind, str) else Bound(bind, owned=False, statement_timeout=seconds)
    if bound.kind == "sqlite":
        check_sqlite(bound.engine, refuse_affected=refuse_affected_sqlite)
    return bound


def _own(url: str, seconds: float | None) -> Bound:
    from .own_engine import own_engine

    return Bound(own_engine(url), owned=True, statement_timeout=seconds)


class Bound:
    """A CRM's database.

    Attributes:
        engine: shares the pool and dialect of the host's engine, or of our own; for an AsyncEngine, its synchronous side.
        kind: ``sqlite`` or ``postgresql``.
        is_async: the engine given is an AsyncEngine.
        managed: a framework keeps the connection and its transaction, which every session joins.
        TESTED: the mark of a framework's transaction that is a test's, and never commits.
    """

    managed, TESTED = False, object()

    def __init__(self, engine: Engine | AsyncEngine, *, owned: bool, statement_timeout: float | None = None) -> None:
        self.is_async = not isinstance(engine, Engine)
        self._given = engine if isinstance(engine, Engine) else engine.sync_engine
        self._owned = owned
        self._seconds = statement_timeout
        self.kind = kind_of(self._given.dialect.name)
        options: dict[str, Any] = {} if self.kind == "sqlite" else {"isolation_level": "READ COMMITTED"}
        self.engine: Engine = self._given.execution_options(**options)
        self._queue = sqlite.queue_of(self._given.url.database) if self.kind == "sqlite" else None
        # One connection for all: even readers must take turns.
        self.shared = isinstance(self._given.pool, StaticPool)
        if self.kind == "sqlite" and not self.shared:
            event.listen(self.engine, "handle_error", sqlite.give_up)
        self._version = ServerVersion(self.kind)
        self._sync_twin: Bound | None = None
        self._inherited: Pool | None = None
        self._torn = self._forking_in_use = False
        around_forks(self, Bound._before_fork, Bound._in_child)

    @property
    def url(self) -> URL:
        """Where the database is."""
        return self._given.url

    @property
    def bind(self) -> str | Engine:
        """What another CRM is given to work on the same database, synchronously."""
        return self.synchronous().engine

    @property
    def dialect(self) -> Dialect:
        """How the driver speaks to which a call made here and now goes: an AsyncEngine has another one where no loop runs."""
        apart = self.is_async and (in_our_loop() or not (in_greenlet() or in_a_loop()))
        return self.synchronous().engine.dialect if apart else self.engine.dialect

    @contextmanager
    def begin(self, write: bool = True, *, unlimited: bool = False) -> Iterator[Connection]:
        """Open a connection and a transaction of our own: commit on leaving, roll back on an exception.

        Args:
            unlimited: its statements may take as long as they need.

        Raises:
            Unavailable, ReadOnly: the database is locked, full, gone, read-only; nothing was changed.
            CommitOutcomeUnknown: the connection broke, or the disk failed, during COMMIT.
            NeedsAwait: the engine is asynchronous and an event loop runs.
        """
        here = self._reachable()
        with typed(write=write, at=here.url), here._transactions.begin(write, None if unlimited else here._seconds) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a reading transaction in which the database stands still, however long it takes; no writer waits for it.

        A database in memory has one connection alone, on which all wait.

        Raises:
            Unavailable, NeedsAwait: as :meth:`begin`.
        """
        here = self._reachable()
        with typed(write=False, at=here.url), here._transactions.snapshot() as connection:
            yield connection

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """Open a connection to read on for a long while: between its statements no transaction is open, and nobody waits for it.

        A database in memory has one connection alone; there it is a reading transaction as any other.

        Raises:
            Unavailable, NeedsAwait: as :meth:`begin`.
        """
        here = self._reachable()
        if here.shared:
            with self.begin(write=False) as connection:
                yield connection
            return
        with typed(write=False, at=here.url), here._transactions.looking(here._seconds) as connection:
            yield connection

    @contextmanager
    def writable(self, connection: Connection) -> Iterator[None]:
        """Let something of our own be written in a reading transaction on SQLite's one connection in memory."""
        dbapi = connection.connection.dbapi_connection
        sqlite.apply(dbapi, {"query_only": 0})
        try:
            yield
        finally:
            sqlite.apply(dbapi, {"query_only": 1})

    async def run(self, work: Callable[[], R]) -> R:
        """Run synchronous *work* in a running loop: what it begins on this database's AsyncEngine awaits instead of blocking."""
        return work() if in_our_loop() else await greenlet_spawn(work)

    def hosted(self, on: Any, write: bool) -> AbstractContextManager[Any]:
        """Give what a session joins: what the host gave it, or, where a framework keeps the connection, that; None for neither."""
        return nullcontext(on)

    def committing(self, deliver: Callable[..., int]) -> None:
        """Hear that a session wrote. The journal wakes delivery by itself; a framework's own hooks may call *deliver* as well."""

    def mark(self) -> object | None:
        """Return what is one object while the framework's transaction goes on and nothing of it is undone; None: there is no such."""

    def committed(self, then: Callable[[], None]) -> None:
        """Call *then* once the transaction of :meth:`mark` has committed; never where it does not."""

    def synchronous(self) -> Bound:
        """Return the database through a synchronous driver: this one, or for an AsyncEngine a connection apart."""
        if not self.is_async:
            return self
        if self._sync_twin is None:
            if self.kind == "sqlite" and sqlite.in_memory(self._given.url):
                raise NeedsAwait("needs_await")
            url = self._given.url.set(drivername=SYNC_DRIVERS[self.kind])
            self._sync_twin = _own(url.render_as_string(hide_password=False), self._seconds)
        return self._sync_twin

    def dispose(self) -> None:
        """Close the connections of engines that we made; the host's stay open. In a running loop: ``await bound.run(bound.dispose)``."""
        if self._sync_twin is not None:
            self._sync_twin.dispose()
        if self._owned:
            self._given.dispose(close=not self.is_async or in_greenlet())

    def _before_fork(self) -> None:
        """Let a child inherit no connection of SQLite's; see :mod:`.forking`."""
        if self.kind == "sqlite" and not self.shared:
            self._forking_in_use = in_use(self._given.pool)
            if not (self.is_async or self._forking_in_use):
                self._given.dispose()

    def _in_child(self) -> None:
        """Leave the parent's connections to it."""
        if self.shared:
            return  # a database in memory was copied with its process
        self._torn = self.kind == "sqlite" and (self._forking_in_use or is_open(self._given.pool))
        self._inherited = self._given.pool  # held, since garbage is closed, which would end the parent's conversation
        self._given.dispose(close=False)
        if self._queue is not None:
            self._queue.renew()

    def ready(self) -> None:
        """Connect once, so that the dialect knows its server, and check the server's version.

        Raises:
            LoadError: the server is too old.
        """
        if not self._version.checked:
            with self.engine.connect() as connection:
                self._version.check(connection)

    @OnFirstUse
    def _transactions(self) -> Transactions:
        from .transactions import Transactions

        return Transactions(
            self._given, self.engine, owned=self._owned, asynchronous=self.is_async, queue=self._queue, version=self._version
        )

    def _reachable(self) -> Bound:
        if self._torn:
            raise Refused("forked_while_open", database=str(self.url.database))
        if not self.is_async:
            return self
        if in_our_loop():
            return self.synchronous()
        if in_greenlet():
            return self
        if in_a_loop():
            raise NeedsAwait("needs_await")
        return self.synchronous()
