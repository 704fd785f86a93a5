"""``manage.py flush``, which ``TransactionTestCase`` runs after each test: it empties the CRM's tables with those of the models."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db import connections

from .....crm import CRM
from .....storage.django import DjangoBound
from ...apps import found, migrated

# Which modules there are, as after a migration, and keys, which a process holds.
KEPT = ("key", "plugin")


class Command(flush.Command):
    """Empty a database: the tables of all models, and those of the CRMs on it, which may point at them."""

    help = "Removes all data from the database, the CRM's included."

    def handle(self, **options: Any) -> None:
        """Flush as Django does, with the CRM's tables among those that it knows."""
        connection: Any = connections[options["database"]]
        known = connection.introspection.django_table_names
        there = set(connection.introspection.table_names())
        ours = [table for crm in found() for table in _tables(crm, connection, there)]
        connection.introspection.django_table_names = lambda **asked: [*ours, *known(**asked)]
        try:
            # On SQLite the order would matter; PostgreSQL empties all of them in one statement.
            with connection.constraint_checks_disabled():
                super().handle(**options)
        finally:
            del connection.introspection.django_table_names
        if ours:
            migrated(using=connection.alias)  # who subscribes to what is among the rows; Django does not always say that it flushed


def _tables(crm: CRM, connection: Any, there: set[str]) -> list[str]:
    if not isinstance(crm.bound, DjangoBound) or crm.bound.alias != connection.alias:
        return []
    kept = {getattr(crm.tables.system, each).name for each in KEPT} | {crm.tables.name(entity) for entity in crm.tables.adopted}
    names = sorted(crm.tables.names - kept)
    if crm.tables.schema is None:
        return [name for name in names if name in there]
    return [f"{connection.ops.quote_name(crm.tables.schema)}.{connection.ops.quote_name(name)}" for name in names]
