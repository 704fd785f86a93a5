"""The state of a database as one hash: equal states have equal hashes, whatever was tried in between."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from sqlalchemy import inspect


def state_hash(crm: Any, *, without: Collection[str] = ()) -> str:
    """Hash every row of every table there is, ours or not, read as it stands in the database.

    Left out is the mirror of the host's directory, which follows the host and not what is done here.

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
            for row in sorted(map(repr, connection.exec_driver_sql(f"SELECT * FROM {schema}{quote(name)}"))):
                digest.update(row.encode())
    return digest.hexdigest()
