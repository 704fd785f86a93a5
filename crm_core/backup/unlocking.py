"""Whether sealed values can be read again where they were brought."""

from __future__ import annotations

from sqlalchemy import Connection, select

from ..crm import CRM
from ..errors import BackupRefused, Unreadable


def check_keys(crm: CRM, connection: Connection) -> None:
    """See that the CRM's root keys open each tenant's keys, in a transaction that is open.

    Raises:
        BackupRefused: ``backup_other_keys``: they are not those that the values were sealed under.
    """
    if crm.tables.sealer is None:
        return
    table = crm.tables.system.key
    wanted = select(table.c.id, table.c.tenant, table.c.wrapped).where(table.c.kind == "tenant", table.c.wrapped.is_not(None))
    for id_, tenant, wrapped in connection.execute(wanted.order_by(table.c.tenant)).all():
        try:
            crm.tables.sealer.vault.tenant_key(tenant, id_, wrapped)
        except Unreadable as e:
            raise BackupRefused("backup_other_keys", tenant=tenant) from e
