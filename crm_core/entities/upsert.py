"""An INSERT that says what is done where a row is there already, in the words of the database that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Table

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert


def upsert(table: Table, kind: str) -> Insert:
    """Return an INSERT with ``on_conflict_do_nothing`` and ``on_conflict_do_update``.

    Args:
        kind: of the database, ``postgresql`` or ``sqlite``: only the one in use is imported.
    """
    if kind == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # the same methods
    return insert(table)
