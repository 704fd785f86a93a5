"""The state of a database, for tests to compare: row by row, or as one hash."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import inspect


def state_of(crm: Any, *, without: Collection[str] = ()) -> dict[str, list[str]]:
    """Return every row of every table there is, ours or not, as text in a fixed order, read as it stands in the database.

    Left out is the mirror of the host's directory, which follows the host and not what is done here, and what the journal keeps of denied
    calls, which is all that these may leave.

    Args:
        without: tables to leave out as well.
    """
    system = crm.tables.system
    mirror = {t.name for t in (system.member, system.team_member, system.directory_state)}
    found: dict[str, list[str]] = {}
    with crm.bound.begin(write=False) as connection:
        quote = connection.dialect.identifier_preparer.quote
        schema = f"{quote(crm.tables.schema)}." if crm.tables.schema else ""
        for name in sorted({*inspect(connection).get_table_names(schema=crm.tables.schema)} - mirror - {*without}):
            rows = connection.exec_driver_sql(f"SELECT * FROM {schema}{quote(name)}").mappings()
            found[name] = sorted(repr(tuple(row.values())) for row in rows if not _of_denials(row, system.journal.name))
    return found


def state_hash(crm: Any, *, without: Collection[str] = ()) -> str:
    """Hash :func:`state_of`: equal states have equal hashes, whatever was tried in between."""
    digest = hashlib.sha256()
    for name, rows in state_of(crm, without=without).items():
        digest.update(name.encode())
        for row in rows:
            digest.update(row.encode())
    return digest.hexdigest()


def _of_denials(row: Mapping[str, Any], journal: str) -> bool:
    """Say whether a row tells of a denied call, or is SQLite's own count of the journal's rows."""
    return row.get("kind") == "core.denied.v1" or row.get("name") == journal
