"""Which databases a CRM works on, from which of their versions, and by which drivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from sqlalchemy import Connection, Engine

from ..errors import LoadError
from ..logs import facts
from . import sqlite

Kind = Literal["sqlite", "postgresql"]

OLDEST: Mapping[Kind, tuple[int, ...]] = {"sqlite": (3, 35), "postgresql": (14,)}
SYNC_DRIVERS: Mapping[Kind, str] = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}


def kind_of(name: str) -> Kind:
    """Return which of the databases SQLAlchemy's dialect of that name speaks to.

    Raises:
        LoadError: none.
    """
    if name not in OLDEST:
        raise LoadError("database_unsupported", database=name)
    return cast(Kind, name)


def check_sqlite(engine: Engine, *, refuse_affected: bool) -> None:
    """Check the SQLite that the driver brings, and warn of its WAL-reset bug.

    Raises:
        LoadError: it is too old; or it has the bug, and *refuse_affected* is said.
    """
    version = tuple(cast(Any, engine.dialect.dbapi).sqlite_version_info)
    text = _dotted(version)
    if version < OLDEST["sqlite"]:
        raise LoadError("database_too_old", database="SQLite", version=text, needed=_dotted(OLDEST["sqlite"]))
    if sqlite.affected_by_wal_reset(version) and not sqlite.in_memory(engine.url):
        if refuse_affected:
            raise LoadError("sqlite_affected", version=text)
        sqlite.logger.warning(
            "SQLite %s can lose commits when two processes write to one file at the same instant; 3.51.3 is free of it. "
            "One process at a time is safe: its writers wait for each other.",
            text,
            extra=facts("sqlite_affected", version=text),
        )


class ServerVersion:
    """The version of the server behind an engine, which is checked at its first connection.

    Attributes:
        checked: it was, and it is new enough.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.checked = False

    def check(self, connection: Connection) -> None:
        """Check it, once.

        Raises:
            LoadError: it is too old.
        """
        if not self.checked:
            version = tuple(connection.dialect.server_version_info or ())
            if version < OLDEST[self._kind]:
                raise LoadError("database_too_old", database=self._kind, version=_dotted(version), needed=_dotted(OLDEST[self._kind]))
            self.checked = True


def _dotted(version: tuple[int | str, ...]) -> str:
    return ".".join(map(str, version))
