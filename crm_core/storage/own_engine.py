"""An engine of our own, made from a URL, with the settings that our transactions need on each of its connections."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import LoadError, MissingExtra
from . import sqlite
from .supported import kind_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

EXAMPLES = "sqlite:///shop.db, postgresql+psycopg://user@host/shop"


def own_engine(text: str) -> Engine | AsyncEngine:
    """Make the engine of a URL.

    Raises:
        LoadError: it is no URL, or of neither SQLite nor PostgreSQL.
        MissingExtra: its driver is not installed.
    """
    try:
        url = make_url(text)
        dialect = url.get_dialect()
        kind_of(dialect.name)
        options: dict[str, Any] = {} if dialect.name == "postgresql" else _sqlite_options(url)
        options["hide_parameters"] = True  # what is asked and written may be personal, and SQLAlchemy logs it
        engine = _async_engine(url, options) if dialect.is_async else create_engine(url, **options)
    except ArgumentError as e:
        raise LoadError("bad_database_url", reason=str(e).partition("\n")[0], expected=EXAMPLES) from e
    except ModuleNotFoundError as e:
        raise MissingExtra(extra="async" if dialect.is_async else "postgres", module=e.name or "") from e
    if dialect.name == "sqlite":
        event.listen(getattr(engine, "sync_engine", engine), "connect", _prepare)
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
    return {"connect_args": arguments} | ({"poolclass": StaticPool} if sqlite.in_memory(url) else {"max_overflow": -1})


def _prepare(dbapi: Any, _record: object) -> None:
    dbapi.isolation_level = None
    sqlite.prepare(dbapi)
    sqlite.prefer_wal(dbapi)
