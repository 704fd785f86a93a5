"""Limits: how long a statement in a transaction of our own may run before the database ends it."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_

from ..errors import LoadError, Unavailable
from . import sqlite
from .failures import is_cancelled

LONGEST_SECONDS = 86_400.0
# SQLite asks after so many of its instructions, which is well below a millisecond.
_INSTRUCTIONS = 10_000


def checked(seconds: float | None) -> float | None:
    """Return a time limit that can be kept.

    Raises:
        LoadError: it is not between a millisecond and a day.
    """
    if seconds is None:
        return None
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and math.isfinite(seconds)
    if not number or not 0.001 <= seconds <= LONGEST_SECONDS:
        raise LoadError("bad_statement_timeout", given=str(seconds)[:60], limit=int(LONGEST_SECONDS))
    return float(seconds)


class Clock:
    """When the statement that runs on a connection must have ended.

    Args:
        writes: whether writes are limited as well. SQLite would end the whole transaction with one, savepoints included.
    """

    def __init__(self, seconds: float, *, writes: bool) -> None:
        self.seconds = seconds
        self._writes = writes
        self._end = math.inf

    def start(self, statement: str) -> None:
        """Say that a statement begins."""
        limited = self._writes or statement.lstrip()[:6].upper().startswith(("SELECT", "WITH"))
        self._end = time.monotonic() + self.seconds if limited else math.inf

    def is_over(self) -> bool:
        """Say whether the statement has had its time."""
        return time.monotonic() > self._end

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Limit nothing for a while."""
        seconds, self.seconds = self.seconds, math.inf
        try:
            yield
        finally:
            self.seconds = seconds


@contextmanager
def limited(connection: Connection, seconds: float | None, *, looking: bool = False) -> Iterator[None]:
    """Limit each statement on a connection of ours, and leave it to its pool as it was.

    Args:
        seconds: None for no limit.
        looking: the connection is in no transaction between its statements.
    """
    if seconds is None:
        yield
        return
    on_sqlite = connection.dialect.name == "sqlite"
    clock = Clock(seconds, writes=not on_sqlite)
    with _watched(connection, clock) if on_sqlite else _set(connection, seconds, looking), _timed(connection, clock):
        yield


@contextmanager
def unlimited(connection: Connection) -> Iterator[None]:
    """Let what the core itself does in a limited transaction take as long as it needs."""
    from ..permissions.prepared import CLOCK

    clock: Clock | None = connection.info.get(CLOCK)
    if clock is None:
        yield
        return
    with clock.stopped():
        _set_local(connection, math.inf)
        yield
    # After an error the savepoint that is undone undoes this, too.
    _set_local(connection, clock.seconds)


@contextmanager
def _timed(connection: Connection, clock: Clock) -> Iterator[None]:
    from ..permissions.prepared import CLOCK

    def before(conn: Any, cursor: Any, statement: Any, parameters: Any, context: Any, executemany: Any) -> None:
        clock.start(statement)

    event.listen(connection, "before_cursor_execute", before)
    connection.info[CLOCK] = clock
    try:
        yield
    except DBAPIError as e:
        if clock.is_over() and is_cancelled(e):
            raise Unavailable("statement_timeout") from e
        raise
    finally:
        if not connection.invalidated:
            del connection.info[CLOCK]


@contextmanager
def _watched(connection: Connection, clock: Clock) -> Iterator[None]:
    _ask(connection, clock.is_over)
    try:
        yield
    finally:
        if not connection.invalidated:
            _ask(connection, None)


def _ask(connection: Connection, is_over: Callable[[], bool] | None) -> None:
    asked = sqlite.driver(connection.connection.dbapi_connection).set_progress_handler(is_over, _INSTRUCTIONS)
    if inspect.isawaitable(asked):
        await_(asked)


@contextmanager
def _set(connection: Connection, seconds: float, looking: bool) -> Iterator[None]:
    if not looking:
        # At each BEGIN: a transaction whose first write failed begins anew.
        event.listen(connection, "begin", lambda begun: _set_local(begun, seconds))
        yield
        return
    before = connection.exec_driver_sql("SHOW statement_timeout").scalar_one()
    connection.exec_driver_sql(f"SET statement_timeout = {_milliseconds(seconds)}")
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql(f"SET statement_timeout = '{before}'")


def _set_local(connection: Connection, seconds: float) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {_milliseconds(seconds)}")


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000) if seconds < math.inf else 0
