"""What a database has and no code here declares: a field or an entity that a plugin does without by now."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import ColumnElement, Connection, TableClause, column, inspect, literal, literal_column, select, table

from ..crm import CRM
from ..logs import facts
from ..storage.host_table import HostTable

_log = logging.getLogger("crm_core.backup")


def tell_undeclared(crm: CRM, connection: Connection) -> None:
    """Say in the log which values no backup and no move has, since nobody knows what they mean."""
    found = undeclared(crm, connection)
    if found:
        told = "Left out is what no loaded plugin declares, though the database has values there: %s"
        _log.warning(told, ", ".join(found), extra=facts("backup_undeclared", left_out=found))


def undeclared(crm: CRM, connection: Connection) -> list[str]:
    """Name columns of our tables, and tables of loaded plugins, that have values and are not declared."""
    tables = crm.tables
    known = {each.name: each for each in tables.metadata.tables.values() if not isinstance(each, HostTable)}
    begin = tuple(f"{tables.prefix}{plugin.name.replace('.', '_')}_" for plugin in crm.registry.plugins if tables.prefix)
    found: list[str] = []
    for name in sorted(inspect(connection).get_table_names(tables.schema)):
        there = table(name, schema=tables.schema)
        if name in known:
            # Asked of the table itself: a type that SQLAlchemy cannot read, as PostgreSQL's xid8, is a warning of its inspector.
            names = connection.execute(select(literal_column("*")).select_from(there).limit(0)).keys()
            values: list[ColumnElement[Any]] = [column(each) for each in names if each not in known[name].c]
            found += [f"{name}.{each.key}" for each in values if _has_rows(connection, there, each.is_not(None))]
        elif begin and name.startswith(begin) and name not in tables.names and _has_rows(connection, there):
            found.append(name)
    return found


def _has_rows(connection: Connection, of: TableClause, *where: ColumnElement[bool]) -> bool:
    return connection.scalar(select(literal(1)).select_from(of).where(*where).limit(1)) is not None
