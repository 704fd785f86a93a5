"""What a host's statement returns is fetched before the journal is written: SQLite opens no savepoint while rows of a statement wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine.cursor import CursorFetchStrategy, FullyBufferedCursorFetchStrategy


@contextmanager
def rows_fetched(connection: Connection) -> Iterator[None]:
    """Have the results of what is executed meanwhile hold all their rows."""
    event.listen(connection, "after_execute", _fetch)
    try:
        yield
    finally:
        event.remove(connection, "after_execute", _fetch)


def _fetch(_: object, __: object, ___: object, ____: object, _____: object, result: Any) -> None:
    if result.returns_rows and type(result.cursor_strategy) is CursorFetchStrategy:  # others have them already
        result.cursor_strategy = FullyBufferedCursorFetchStrategy(result.cursor, initial_buffer=result.cursor.fetchall())
