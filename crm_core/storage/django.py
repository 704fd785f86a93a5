"""Django's own connection as a CRM's database: one connection, one transaction and one test database for the ORM and the CRM.

Django's ``atomic`` begins, commits and rolls back; nothing of ours does. A plain engine over its connection would roll back the host's
block on SQLite, close the connection on psycopg, and read JSON, dates and instants as Django's process-wide converters leave them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, event

from ..errors import CommitOutcomeUnknown, LoadError, MissingExtra
from . import sqlite
from .engine import DJANGO, Bound
from .failures import located, meaning, typed
from .supported import SYNC_DRIVERS, Kind, check_sqlite, kind_of

try:
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.db import Error as DjangoError
    from django.db import connections, transaction
    from django.utils.connection import ConnectionDoesNotExist
except ModuleNotFoundError as e:
    raise MissingExtra(extra="django", module=e.name or "") from e

SECONDS = 1.0  # of a request, for subscribers


class DjangoBound(Bound):
    """The database that one alias of Django's ``DATABASES`` names, through Django's connection of the calling thread.

    Raises:
        LoadError: there is none of that name, or it is neither SQLite nor PostgreSQL with psycopg 3.
    """

    managed = True

    def __init__(self, alias: str) -> None:
        self.alias = alias
        try:
            kind = kind_of(self._wrapper.vendor)
        except (ConnectionDoesNotExist, ImproperlyConfigured) as e:
            raise LoadError("bad_database_url", reason=str(e)) from e
        super().__init__(_engine(kind, self._raw), owned=False)
        self.engine = self._given
        self._initialized = threading.Lock()
        self._waking = threading.local()
        event.listen(self._given, "invalidate", self._doubt)
        if kind == "sqlite":
            check_sqlite(self.engine, refuse_affected=False)

    @property
    def url(self) -> URL:
        """Where the database is: the test database, where tests run."""
        at = self._wrapper.settings_dict
        user, password, host = (at[name] or None for name in ("USER", "PASSWORD", "HOST"))
        port = int(at["PORT"]) if at["PORT"] else None
        return URL.create(SYNC_DRIVERS[self.kind], username=user, password=password, host=host, port=port, database=str(at["NAME"]))

    @property
    def bind(self) -> str:
        """What another CRM is given: an engine over Django's connection could not roll back."""
        return f"{DJANGO}{self.alias}"

    def mark(self) -> object | None:
        """Return Django's list of what to do on commit: it takes a new one with each commit, rollback and savepoint undone."""
        wrapper = self._wrapper
        if any(getattr(block, "_from_testcase", False) for block in wrapper.atomic_blocks):
            return self.TESTED
        return wrapper.run_on_commit if wrapper.in_atomic_block else None

    def committed(self, then: Callable[[], None]) -> None:
        """Let Django call it."""
        transaction.on_commit(then, using=self.alias)

    @contextmanager
    def begin(self, write: bool = True, *, unlimited: bool = False) -> Iterator[Connection]:
        """Open a block of ``atomic``: a savepoint, where one is open. Django's settings limit its statements."""
        with typed(write=write, at=self.url), self._atomic(write), self._connected() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a reading transaction in which the database stands still; inside a host's ``atomic`` it is as still as that."""
        outermost = not self._wrapper.in_atomic_block
        with self.begin(write=False) as connection:
            if outermost and self.kind == "postgresql":
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """Read statement by statement, in no transaction but the host's."""
        with typed(write=False, at=self.url), self._connected() as connection:
            yield connection

    @contextmanager
    def hosted(self, on: Any, write: bool) -> Iterator[Any]:
        """Give Django's connection inside its ``atomic``, begun here where none is open."""
        if on is not None:
            yield on
            return
        block = nullcontext() if self._wrapper.in_atomic_block else self._atomic(write)
        with block, self._connected() as connection:
            yield connection

    def committing(self, deliver: Callable[..., int]) -> None:
        """Let Django deliver once it has committed, for a second or as long as ``CRM_DELIVER_ON_COMMIT`` says; the rest is a worker's."""
        self._waking.due = True
        transaction.on_commit(lambda: self.deliver(deliver), using=self.alias, robust=True)

    def deliver(self, deliver: Callable[..., int]) -> int:
        """Deliver what a committed transaction wrote; in a test's transaction, which never commits, all that it wrote so far."""
        said = getattr(settings, "CRM_DELIVER_ON_COMMIT", True)
        seconds = SECONDS if said is True else float(said or 0)
        if not getattr(self._waking, "due", False) or not seconds:
            return 0
        self._waking.due = False
        if not self._wrapper.in_atomic_block:
            return deliver(seconds=seconds)
        with self._connected() as connection:
            return deliver(on=connection)

    def synchronous(self) -> Bound:
        """Return itself: Django's connections are synchronous."""
        return self

    def ready(self) -> None:
        """Ask the server once what the dialect must know of it."""
        with self._initialized:
            if not self._version.checked:
                with self._given.connect() as connection:
                    connection.dialect.initialize(connection)
                    self._version.check(connection)

    # -- inside -------------------------------------------------------------------------------------------------------------------

    @property
    def _wrapper(self) -> Any:
        return connections[self.alias]

    def _raw(self) -> Any:
        self._revive()
        self._wrapper.ensure_connection()
        return self._wrapper.connection

    def _doubt(self, *_: Any) -> None:
        self._wrapper.errors_occurred = True

    def _revive(self) -> None:
        """Let Django connect anew where a statement of ours or its own has met a dead connection."""
        wrapper = self._wrapper
        if wrapper.errors_occurred and not wrapper.in_atomic_block and wrapper.connection is not None:
            if wrapper.is_usable():
                wrapper.errors_occurred = False
            else:
                wrapper.close()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if not self._version.checked:
            self.ready()
        with self.engine.connect() as connection:
            if self.kind == "sqlite":
                sqlite.register(connection.connection.dbapi_connection)
            yield connection

    @contextmanager
    def _atomic(self, write: bool) -> Iterator[None]:
        """Enter Django's ``atomic``; what the database says to its BEGIN and COMMIT leaves as our errors."""
        with self._said(write):
            self._raw()
        commits = not self._wrapper.in_atomic_block
        block = transaction.atomic(using=self.alias)
        with self._said(write), self._mode_of(write):
            block.__enter__()
        try:
            yield
        except BaseException:
            block.__exit__(*sys.exc_info())
            raise
        with self._said(write, commits=commits):
            block.__exit__(None, None, None)

    @contextmanager
    def _said(self, write: bool, *, commits: bool = False) -> Iterator[None]:
        try:
            yield
        except DjangoError as e:
            error = meaning(e.__cause__ or e, write=write)
            raise located(CommitOutcomeUnknown() if commits and error.code == "connection_lost" else error, self.url) from e

    def _mode_of(self, write: bool) -> AbstractContextManager[None]:
        """On SQLite, begin for writing or for reading, whatever the settings say of an ``atomic`` of the host's.

        A transaction that reads first and then writes would lose against other writers; one that only reads need not wait for them.
        """
        wrapper = self._wrapper
        if wrapper.in_atomic_block or self.kind != "sqlite" or (write and wrapper.transaction_mode):
            return nullcontext()
        return _mode(wrapper, "IMMEDIATE" if write else "DEFERRED")


@contextmanager
def _mode(wrapper: Any, mode: str) -> Iterator[None]:
    before, wrapper.transaction_mode = wrapper.transaction_mode, mode
    try:
        yield
    finally:
        wrapper.transaction_mode = before


def _engine(kind: Kind, raw: Callable[[], Any]) -> Engine:
    """Put SQLAlchemy over a connection that Django opens and ends: no pool, and none of the settings a new engine would make."""
    url = URL.create(SYNC_DRIVERS[kind])
    dialect_class: Any = url.get_dialect()
    options: dict[str, Any] = {}
    if kind == "postgresql":
        options["use_native_hstore"] = False
    try:
        dialect = dialect_class(dbapi=dialect_class.import_dbapi(), **options)
    except ModuleNotFoundError as e:
        raise LoadError("database_unsupported", database="Django without psycopg 3") from e
    wrap = _SQLiteConnection if kind == "sqlite" else _PsycopgConnection
    return Engine(NullPool(lambda: wrap(raw()), dialect=dialect), dialect, url)


class _DjangosConnection:
    """Django's connection as far as it is ours: it runs statements and gives the driver's own values, but ends nothing."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def commit(self) -> None:
        """Leave it to Django."""

    rollback = close = commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class _SQLiteConnection(_DjangosConnection):
    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        cursor = self._raw.cursor()
        cursor.row_factory = None
        return cursor


class _PsycopgConnection(_DjangosConnection):
    def cursor(self, name: str | None = None, **kwargs: Any) -> Any:
        from .django_psycopg import PlainCursor, PlainServerCursor

        return PlainCursor(self._raw) if name is None else PlainServerCursor(self._raw, name, **kwargs)
