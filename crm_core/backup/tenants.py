"""Taking a tenant away."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from ..crm import CRM
from ..errors import NotFound
from ..events.sequencer import sequence
from ..permissions.actor import Actor
from ..storage.backup.layout import Layout
from ..storage.backup.loading import clear, rows_of


def drop_tenant(crm: CRM, tenant: str) -> Mapping[str, int]:
    """Delete all rows of a tenant, its journal included, in one transaction, and return how many of each table.

    One row of its journal stays and says so (``core.tenant_dropped.v1``). Nobody may work in the tenant meanwhile.

    Raises:
        NotFound: ``tenant_unknown``: it has no rows.
        Unavailable: the database cannot serve.
    """
    with crm.bound.synchronous().begin(unlimited=True) as connection:
        crm.migrations.check(connection)
        gone = dropped(crm, connection, tenant)
        if not gone:
            raise NotFound("tenant_unknown", tenant=tenant[:63])
    return gone


def dropped(crm: CRM, connection: Connection, tenant: str) -> Mapping[str, int]:
    """Delete a tenant's rows in a transaction that is open."""
    layout, journal = Layout.of(crm.tables), crm.tables.system.journal
    found = rows_of(connection, layout, tenant)
    if not found:
        return {}
    with crm.session(Actor.system("drop", tenant=tenant), on=connection) as session:
        session.note("core.tenant_dropped.v1", {"rows": found})
    # The note keeps the journal's highest position: one that went would be given again, and subscribers are past it.
    while sequence(connection, crm.tables):
        pass
    own = connection.scalar(select(func.max(journal.c.id)).where(journal.c.tenant == tenant))
    clear(connection, layout, tenant, upto=own - 1)
    return found
