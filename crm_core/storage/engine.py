"""The database a CRM lives in: the host's engine as it is, or one of our own, and transactions on either."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from sqlalchemy import URL, Connection, Dialect, Engine, Pool, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

from ..arguments import check
from ..errors import CommitOutcomeUnknown, LoadError, MissingExtra, NeedsAwait, Refused
from ..logs import facts
from . import sqlite
from .failures import typed
from .forking import around_forks, in_use, is_open
from .limits import checked, limited
from .loops import in_a_loop, in_our_loop
from .wal import WalSync

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Kind = Literal["sqlite", "postgresql"]
R = TypeVar("R")

OLDEST: Mapping[Kind, tuple[int, ...]] = {"sqlite": (3, 35), "postgresql": (14,)}
DJANGO = "django://"
EXAMPLES = "sqlite:///shop.db, postgresql+psycopg://user@host/shop"
_SYNC_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}


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
    owned = isinstance(bind, str)
    bound = Bound(_own_engine(bind) if isinstance(bind, str) else bind, owned=owned, statement_timeout=seconds)
    if bound.kind == "sqlite":
        _check_sqlite(bound, refuse_affected_sqlite)
    return bound


def _own_engine(text: str) -> Engine | AsyncEngine:
    try:
        url = make_url(text)
        dialect = url.get_dialect()
        _kind(dialect.name)
        options: dict[str, Any] = {} if dialect.name == "postgresql" else _sqlite_options(url)
        options["hide_parameters"] = True  # what is asked and written may be personal, and SQLAlchemy logs it
        engine = _async_engine(url, options) if dialect.is_async else create_engine(url, **options)
    except ArgumentError as e:
        raise LoadError("bad_database_url", reason=str(e).partition("\n")[0], expected=EXAMPLES) from e
    except ModuleNotFoundError as e:
        raise MissingExtra(extra="async" if dialect.is_async else "postgres", module=e.name or "") from e
    if dialect.name == "sqlite":
        event.listen(getattr(engine, "sync_engine", engine), "connect", _prepare_own)
    return engine


def _async_engine(url: URL, options: Mapping[str, Any]) -> AsyncEngine:
    # It brings SQLAlchemy's ORM along, half a second that a synchronous host need not pay.
    # First greenlet: without it SQLAlchemy's import fails in words of its own.
    import_module("greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(url, **options)


def _sqlite_options(url: URL) -> dict[str, Any]:
    arguments = {"check_same_thread": False, "timeout": sqlite.BUSY_MILLISECONDS / 1000}
    # A writer waits in the queue without a connection, so readers alone decide how many connections there are.
    return {"connect_args": arguments} | ({"poolclass": StaticPool} if _in_memory(url) else {"max_overflow": -1})


def _kind(name: str) -> Kind:
    if name not in OLDEST:
        raise LoadError("database_unsupported", database=name)
    return cast(Kind, name)


def _in_memory(url: URL) -> bool:
    return not url.database or url.database == ":memory:" or url.query.get("mode") == "memory"


def _prepare_own(dbapi: Any, _record: object) -> None:
    dbapi.isolation_level = None
    sqlite.prepare(dbapi)
    sqlite.prefer_wal(dbapi)


def _check_sqlite(bound: Bound, refuse: bool) -> None:
    version = tuple(cast(Any, bound.engine.dialect.dbapi).sqlite_version_info)
    text = _dotted(version)
    if version < OLDEST["sqlite"]:
        raise LoadError("database_too_old", database="SQLite", version=text, needed=_dotted(OLDEST["sqlite"]))
    if sqlite.affected_by_wal_reset(version) and not _in_memory(bound.engine.url):
        if refuse:
            raise LoadError("sqlite_affected", version=text)
        sqlite.logger.warning(
            "SQLite %s can lose commits when two processes write to one file at the same instant; 3.51.3 is free of it. "
            "One process at a time is safe: its writers wait for each other.",
            text,
            extra=facts("sqlite_affected", version=text),
        )


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
        self.kind = _kind(self._given.dialect.name)
        options: dict[str, Any] = {} if self.kind == "sqlite" else {"isolation_level": "READ COMMITTED"}
        self.engine: Engine = self._given.execution_options(**options)
        self._reading: Engine = self._given.execution_options(**options, postgresql_readonly=True) if options else self.engine
        self._looking: Engine = self._given.execution_options(isolation_level="AUTOCOMMIT") if options else self.engine
        still = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._still: Engine = self._given.execution_options(**still) if options else self.engine
        self._queue = sqlite.queue_of(self._given.url.database) if self.kind == "sqlite" else None
        # One connection for all: even readers must take turns.
        self.shared = isinstance(self._given.pool, StaticPool)
        if self.kind == "sqlite" and not self.shared:
            event.listen(self.engine, "handle_error", sqlite.give_up)
        self._checked = False
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
        owed: list[WalSync] = []
        with typed(write=write, at=here.url):
            with here._turn(write), here._opened(write, None if unlimited else here._seconds, owed) as connection:
                yield connection
            for sync in owed:
                sync.wait()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a reading transaction in which the database stands still, however long it takes; no writer waits for it.

        A database in memory has one connection alone, on which all wait.

        Raises:
            Unavailable, NeedsAwait: as :meth:`begin`.
        """
        here = self._reachable()
        with typed(write=False, at=here.url), here._turn(False), here._opened(False, None, [], still=True) as connection:
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
        with typed(write=False, at=here.url), here._looking.connect() as connection:
            here._check(connection)
            prepared = here._prepared(connection, write=False) if here.kind == "sqlite" else nullcontext()
            with prepared, limited(connection, here._seconds, looking=True):
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
            if _in_memory(self._given.url) and self.kind == "sqlite":
                raise NeedsAwait("needs_await")
            url = self._given.url.set(drivername=_SYNC_DRIVERS[self.kind])
            self._sync_twin = Bound(_own_engine(url.render_as_string(hide_password=False)), owned=True, statement_timeout=self._seconds)
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
        if not self._checked:
            with self.engine.connect() as connection:
                self._check(connection)

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

    def _turn(self, write: bool) -> Any:
        if self._queue is None or not (write or self.shared):
            return nullcontext()
        return self._queue.turn(asynchronous=self.is_async)

    @contextmanager
    def _opened(self, write: bool, seconds: float | None, owed: list[WalSync], *, still: bool = False) -> Iterator[Connection]:
        engine = self._still if still else self.engine if write else self._reading
        with engine.connect() as connection:
            self._check(connection)
            begun = self._begun(connection, write, owed) if self.kind == "sqlite" else nullcontext()
            with begun, limited(connection, seconds):
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                # Of a reader whose COMMIT a server cuts nobody shall think that its outcome is unknown.
                _commit(connection) if write or self.kind == "sqlite" else connection.rollback()

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
        sync = self._queue.shared_sync if write and self._owned and not self.is_async and self._queue is not None else None
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
        if write and not self.is_async:
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

    def _check(self, connection: Connection) -> None:
        if not self._checked:
            version = connection.dialect.server_version_info or ()
            if tuple(version) < OLDEST[self.kind]:
                raise LoadError("database_too_old", database=self.kind, version=_dotted(version), needed=_dotted(OLDEST[self.kind]))
            self._checked = True


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


def _dotted(version: tuple[int | str, ...]) -> str:
    return ".".join(map(str, version))
