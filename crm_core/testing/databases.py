"""Empty databases for tests, SQLite files and PostgreSQL databases alike, and quick copies of prepared ones."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import sqlalchemy as sa

from .postgres import connect_admin, execute_admin

if TYPE_CHECKING:
    import psycopg

Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")


# A file system in memory, and how much of it each worker of a run may come to need.
_MEMORY = Path("/dev/shm")
_ROOM = 1 << 30
# How many prepared PostgreSQL databases, of some 12 MB each, a worker keeps to copy from.
_KEPT = 32


def folder_of_tests() -> Path:
    """Return where the databases of tests lie: ``CRM_TEST_FOLDER``, else in memory where there is 1 GB for each processor, else on disk.

    What a crash of the machine would lose is of no interest to a test; on disk, half of its time may be spent on writing it there.
    ``CRM_TEST_DURABLE`` keeps them on disk.
    """
    given = os.environ.get("CRM_TEST_FOLDER")
    if given:
        return Path(given)
    if not os.environ.get("CRM_TEST_DURABLE") and os.access(_MEMORY, os.W_OK):
        room = os.statvfs(_MEMORY)
        if room.f_bavail * room.f_frsize >= _ROOM * (os.cpu_count() or 1):
            return _MEMORY
    return Path(tempfile.gettempdir())


class Database:
    """One database of one test.

    Attributes:
        kind: ``sqlite`` or ``postgresql``.
        url: what ``create_engine`` takes; :meth:`async_url` is its twin for asyncio.
    """

    def __init__(self, kind: Kind, url: str) -> None:
        self.kind = kind
        self.url = url
        self._engines: list[sa.Engine] = []

    def __repr__(self) -> str:
        return f"<Database {self.url}>"

    @property
    def async_url(self) -> str:
        """The same database through the asyncio drivers (aiosqlite, asyncpg)."""
        return self.url.replace("sqlite:", "sqlite+aiosqlite:").replace("+psycopg:", "+asyncpg:")

    def engine(self, **options: Any) -> sa.Engine:
        """Make a plain engine, as a host would; it is disposed of when the test ends."""
        engine = sa.create_engine(self.url, **options)
        self._engines.append(engine)
        return engine

    def close(self) -> None:
        """Dispose of the engines that :meth:`engine` made."""
        while self._engines:
            self._engines.pop().dispose()


class Databases(Protocol):
    """Where the databases of one kind come from."""

    def create(self) -> Database:
        """Make an empty database."""

    def reserve(self) -> Database:
        """Name a database that is still to be made, by :meth:`fill`."""

    def fill(self, database: Database, name: str, prepare: Callable[[Database], None]) -> None:
        """Make *database* a copy of the one that *prepare* filled; *prepare* runs once a worker for each *name* that is used often."""

    def drop(self, database: Database) -> None:
        """Remove *database* with everything in it, whoever is still connected."""


class SQLiteDatabases:
    """Databases that are files in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._prepared: dict[str, Path] = {}

    def create(self) -> Database:
        """See :class:`Databases`."""
        return self.reserve()  # the file comes with its first connection

    def reserve(self) -> Database:
        """See :class:`Databases`."""
        return Database("sqlite", f"sqlite:///{self._folder / f'crm{next(self._numbers)}.db'}")

    def fill(self, database: Database, name: str, prepare: Callable[[Database], None]) -> None:
        """See :class:`Databases`."""
        if name not in self._prepared:
            original = self.reserve()
            prepare(original)
            with original.engine(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            original.close()
            self._prepared[name] = self._path(original)
        shutil.copyfile(self._prepared[name], self._path(database))

    def drop(self, database: Database) -> None:
        """See :class:`Databases`."""
        database.close()
        path = self._path(database)
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    @staticmethod
    def _path(database: Database) -> Path:
        return Path(database.url.removeprefix("sqlite:///"))


class PostgresDatabases:
    """Databases of the server whose maintenance database is at *url*; *worker* keeps the names of concurrent workers apart."""

    def __init__(self, url: str, worker: str) -> None:
        self._server = sa.make_url(url)
        self._worker = worker
        self._numbers = count(1)
        self._prepared: dict[str, str] = {}
        self._connection: psycopg.Connection[Any] | None = None

    def create(self) -> Database:
        """See :class:`Databases`."""
        database = self.reserve()
        self._copy("template0", database)
        return database

    def reserve(self) -> Database:
        """See :class:`Databases`."""
        name = f"crm_{self._worker}_{next(self._numbers)}"
        return Database("postgresql", self._server.set(database=name).render_as_string(hide_password=False))

    def fill(self, database: Database, name: str, prepare: Callable[[Database], None]) -> None:
        """See :class:`Databases`."""
        template = self._prepared.pop(name, None)
        if template is None:
            original = self.create()
            prepare(original)
            original.close()
            template = self._name(original)
        self._prepared[name] = template  # now the last of them: the first has not been asked for the longest
        if len(self._prepared) > _KEPT:
            self._admin(f"DROP DATABASE {self._prepared.pop(next(iter(self._prepared)))} WITH (FORCE)")
        self._copy(template, database)

    def drop(self, database: Database) -> None:
        """See :class:`Databases`."""
        database.close()
        self._admin(f"DROP DATABASE {self._name(database)} WITH (FORCE)")

    def close(self) -> None:
        """Leave the server; the next database that is made or dropped comes back to it."""
        if self._connection is not None:
            self._connection.close()

    def _copy(self, template: str, database: Database) -> None:
        self._admin(f"CREATE DATABASE {self._name(database)} TEMPLATE {template} STRATEGY file_copy")

    def _admin(self, statement: str) -> None:
        execute_admin(self._connected(), statement)

    def _connected(self) -> psycopg.Connection[Any]:
        """Return the connection to the server, a new one where the last was closed or cut."""
        import psycopg

        try:
            if self._connection is not None:
                self._connection.execute("")
                return self._connection
        except psycopg.OperationalError:
            pass
        self._connection = connect_admin(self._server.render_as_string(hide_password=False))
        return self._connection

    @staticmethod
    def _name(database: Database) -> str:
        name = sa.make_url(database.url).database
        assert name is not None
        return name
