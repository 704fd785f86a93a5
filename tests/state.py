"""The state of a database as one hash: equal states have equal hashes, whatever was tried in between."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import inspect


def state_hash(crm: Any, *, without: Collection[str] = ()) -> str:
    """Hash every row of every table there is, ours or not, read as it stands in the database.

    Left out is the mirror of the host's directory, which follows the host and not what is done here, and what the journal keeps of denied
    calls, which is all that these may leave.

    Args:
        without: tables to leave out as well.
    """
    digest = hashlib.sha256()
    system = crm.tables.system
    mirror = {t.name for t in (system.member, system.team_member, system.directory_state)}
    with crm.bound.begin(write=False) as connection:
        quote = connection.dialect.identifier_preparer.quote
        for name in sorted({*inspect(connection).get_table_names(schema=crm.tables.schema)} - mirror - {*without}):
            digest.update(name.encode())
            schema = f"{quote(crm.tables.schema)}." if crm.tables.schema else ""
            rows = connection.exec_driver_sql(f"SELECT * FROM {schema}{quote(name)}").mappings()
            for row in sorted(repr(tuple(row.values())) for row in rows if not _of_denials(row, system.journal.name)):
                digest.update(row.encode())
    return digest.hexdigest()


def _of_denials(row: Mapping[str, Any], journal: str) -> bool:
    """Say whether a row tells of a denied call, or is SQLite's own count of the journal's rows."""
    return row.get("kind") == "core.denied.v1" or row.get("name") == journal
