"""Limits: how long a statement in a transaction of our own may run before the database ends it."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.util import await_

from ..errors import LoadError
from ..permissions.prepared import CLOCK
from . import sqlite

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
    """When the statement that runs on an SQLite connection must have ended."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = math.inf

    def start(self, statement: str) -> None:
        """Say that a statement begins. A write has no limit: SQLite would end the whole transaction with it, savepoints included."""
        reads = statement.lstrip()[:6].upper().startswith(("SELECT", "WITH"))
        self._end = time.monotonic() + self._seconds if reads else math.inf

    def is_over(self) -> bool:
        """Say whether SQLite shall give the statement up."""
        return time.monotonic() > self._end


@contextmanager
def limited(connection: Connection, seconds: float | None, *, looking: bool = False) -> Iterator[None]:
    """Limit each statement on a connection of ours, and leave it to its pool as it was.

    Args:
        seconds: None for no limit.
        looking: the connection is in no transaction between its statements.
    """
    if seconds is None:
        yield
    elif connection.dialect.name == "sqlite":
        with _watched(connection, Clock(seconds)):
            yield
    elif looking:
        with _set_for_now(connection, seconds):
            yield
    else:
        # At each BEGIN: a transaction whose first write failed begins anew.
        event.listen(connection, "begin", lambda begun: begun.exec_driver_sql(f"SET LOCAL statement_timeout = {_milliseconds(seconds)}"))
        yield


@contextmanager
def _watched(connection: Connection, clock: Clock) -> Iterator[None]:
    def before(conn: Any, cursor: Any, statement: Any, parameters: Any, context: Any, executemany: Any) -> None:
        clock.start(statement)

    event.listen(connection, "before_cursor_execute", before)
    connection.info[CLOCK] = clock
    _ask(connection, clock.is_over)
    try:
        yield
    finally:
        if not connection.invalidated:
            del connection.info[CLOCK]
            _ask(connection, None)


def _ask(connection: Connection, is_over: Callable[[], bool] | None) -> None:
    asked = sqlite.driver(connection.connection.dbapi_connection).set_progress_handler(is_over, _INSTRUCTIONS)
    if inspect.isawaitable(asked):
        await_(asked)


@contextmanager
def _set_for_now(connection: Connection, seconds: float) -> Iterator[None]:
    before = connection.exec_driver_sql("SHOW statement_timeout").scalar_one()
    connection.exec_driver_sql(f"SET statement_timeout = {_milliseconds(seconds)}")
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql(f"SET statement_timeout = '{before}'")


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)
