"""Cursors on Django's psycopg connection that read and write as psycopg does by itself: Django's own leave JSON as text."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.rows import tuple_row

_PLAIN = AdaptersMap(psycopg.adapters)


class PlainCursor(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor with psycopg's own types."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        """Psycopg's own types."""
        return _PLAIN


class PlainServerCursor(psycopg.ServerCursor[tuple[Any, ...]]):
    """A cursor that the server keeps, with psycopg's own types."""

    def __init__(self, connection: psycopg.Connection[Any], name: str, **options: Any) -> None:
        super().__init__(connection, name, row_factory=tuple_row, **options)

    @property
    def adapters(self) -> AdaptersMap:
        """Psycopg's own types."""
        return _PLAIN
