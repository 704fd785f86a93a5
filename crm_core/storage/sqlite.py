"""What SQLite needs besides a URL: settings of each connection, a fair queue of writers, and a warning about a bug of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import URL, Connection
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.util import await_

from ..errors import Unavailable
from .wal import WalSync

BUSY_MILLISECONDS = 10_000
QUEUE_SECONDS = 30.0
_POLL_SECONDS = 0.002

# FULL: with NORMAL a power cut loses commits that were acknowledged.
# secure_delete: what is deleted or replaced leaves no bytes behind in free pages.
_SETTINGS = {"foreign_keys": 1, "synchronous": 2, "busy_timeout": BUSY_MILLISECONDS, "trusted_schema": 0, "secure_delete": 1}

logger = logging.getLogger("crm_core.storage")


def in_memory(url: URL) -> bool:
    """Say whether a URL of SQLite's names a database that no file holds."""
    return not url.database or url.database == ":memory:" or url.query.get("mode") == "memory"


def leave_unsynced(dbapi: Any) -> bool:
    """Let a connection commit without an fsync, as a WAL may; say whether it does."""
    if run(dbapi, "PRAGMA journal_mode") != "wal":
        return False
    apply(dbapi, {"synchronous": 1})
    return True


def sync_again(dbapi: Any) -> None:
    """Let a connection commit with an fsync again."""
    apply(dbapi, {"synchronous": _SETTINGS["synchronous"]})


def run(dbapi: Any, statement: str) -> Any:
    """Run a statement that is no part of a SQLAlchemy transaction and return the first row's first value."""
    with closing(dbapi.cursor()) as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return row[0] if row else None


def prepare(dbapi: Any, *, read_only: bool = False) -> dict[str, int]:
    """Give a connection that is in no transaction our settings; return what to :func:`apply` afterwards."""
    wanted = _SETTINGS | ({"query_only": 1} if read_only else {})
    before = {name: int(run(dbapi, f"PRAGMA {name}")) for name in wanted}
    apply(dbapi, {name: value for name, value in wanted.items() if before[name] != value})
    register(dbapi)
    return {name: value for name, value in before.items() if value != wanted[name]}


def apply(dbapi: Any, settings: dict[str, int]) -> None:
    """Set pragmas of the connection, for good or until they are set again."""
    for name, value in settings.items():
        run(dbapi, f"PRAGMA {name} = {value}")


def prefer_wal(dbapi: Any) -> None:
    """Let readers and the writer not wait for each other. A file that others hold, or that is read-only, stays as it is."""
    try:
        run(dbapi, "PRAGMA journal_mode = WAL")
    except Exception as e:
        if getattr(e, "sqlite_errorname", "").split("_")[1:2] not in (["BUSY"], ["LOCKED"], ["READONLY"], ["CANTOPEN"]):
            raise


def register(dbapi: Any) -> None:
    """Teach the connection the functions that our statements use."""
    from ..permissions.money_sql import register_functions

    register_functions(dbapi)


def begin_immediate(dbapi: Any) -> None:
    """Begin for writing, when other processes let us; wait as long as ``busy_timeout`` says.

    SQLite's own waiting asks less and less often, so that who comes later goes first. Here all who wait ask equally often.
    """
    execute = driver(dbapi).execute
    patience = _SETTINGS["busy_timeout"]
    end = time.monotonic() + patience / 1000
    execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                execute("BEGIN IMMEDIATE")
                return
            except Exception as e:
                if getattr(e, "sqlite_errorname", "").split("_")[1:2] != ["BUSY"] or time.monotonic() >= end:
                    raise
            time.sleep(_POLL_SECONDS)
    finally:
        execute(f"PRAGMA busy_timeout = {patience}")


def in_transaction(dbapi: Any) -> bool:
    """Ask the driver, since SQLAlchemy calls a connection begun before SQLite has begun anything."""
    return bool(driver(dbapi).in_transaction)


def is_gone(connection: Connection) -> bool:
    """Say whether SQLite has ended a transaction by itself, as it does where its disk fails or is full.

    What is written then would be final, statement by statement, and what was written before is not there.
    """
    if connection.dialect.name != "sqlite" or connection.invalidated or not connection.in_transaction():
        return False
    return not in_transaction(connection.connection.dbapi_connection)


def give_up(context: ExceptionContext) -> None:
    """Let a connection go where a statement that failed has ended the transaction: it takes no other before it is rolled back."""
    connection = context.connection
    if connection is not None and context.statement is not None and is_gone(connection):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


def commits_by_itself(dbapi: Any) -> bool:
    """Say whether the driver would commit each statement alone (``isolation_level=None``, or ``autocommit=True`` of Python 3.12)."""
    raw = driver(dbapi)
    mode = getattr(raw, "autocommit", -1)
    return raw.isolation_level is None if mode == -1 else mode is True


def driver(dbapi: Any) -> Any:
    """Return the driver's own connection, below what SQLAlchemy puts over an asynchronous one."""
    return getattr(dbapi, "driver_connection", dbapi)


def affected_by_wal_reset(version: tuple[int, ...]) -> bool:
    """Say whether this SQLite can lose commits when two connections write and reset the WAL at the same instant (fixed in 3.51.3)."""
    fixed = (3, 44, 6) <= version < (3, 45) or (3, 50, 7) <= version < (3, 51)
    return (3, 7) <= version < (3, 51, 3) and not fixed


class WriteQueue:
    """Lets writers of one file in, one at a time, in the order in which they came; threads and asyncio tasks stand in one line.

    SQLite's own waiting is unfair: with 32 writers the unlucky wait seconds. Since the queue is held until COMMIT has returned, the
    checkpoint that follows a commit runs inside it too, which keeps this process clear of the WAL-reset bug.
    """

    def __init__(self, seconds: float = QUEUE_SECONDS, file: Path | None = None) -> None:
        self._file = file
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Begin anew, in a process that was just forked: whose turn it was, and who waited, are not here."""
        self._sync = None if self._file is None else WalSync(self._file.with_name(f"{self._file.name}-wal"))
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[Future[None]] = deque()

    @property
    def shared_sync(self) -> WalSync | None:
        """The fsync that the writer whose turn it is can share with those who wait; None where nobody does."""
        return None if self._sync is None or self._sync.broken or not self._waiting else self._sync

    @contextmanager
    def turn(self, *, asynchronous: bool) -> Iterator[None]:
        """Wait for the turn and keep it inside the block.

        Raises:
            Unavailable: ``database_locked`` after half a minute: somebody keeps a writing session open, perhaps the caller itself.
        """
        self._take(asynchronous)
        try:
            yield
        finally:
            self._pass_on()

    def _take(self, asynchronous: bool) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            ticket: Future[None] = Future()
            self._waiting.append(ticket)
        try:
            if asynchronous:
                await_(asyncio.wait_for(asyncio.wrap_future(ticket), self._seconds))
            else:
                ticket.result(self._seconds)
        except BaseException as e:
            if not ticket.cancel():
                self._pass_on()
            if isinstance(e, TimeoutError):
                raise Unavailable("database_locked", retryable=True) from None
            raise

    def _pass_on(self) -> None:
        with self._lock:
            while self._waiting:
                ticket = self._waiting.popleft()
                if ticket.set_running_or_notify_cancel():
                    ticket.set_result(None)
                    return
            self._taken = False


# A file is one however many CRMs open it, so its line is too; an entry lives as long as a CRM that uses it.
_queues: WeakValueDictionary[Path, WriteQueue] = WeakValueDictionary()
_queues_lock = threading.Lock()


def queue_of(path: str | None) -> WriteQueue:
    """Return the line before a database file; a database in memory has one of its own."""
    if not path or path == ":memory:" or path.startswith("file:"):
        return WriteQueue()
    file = Path(path).resolve()
    with _queues_lock:
        return _queues.setdefault(file, WriteQueue(file=file))
