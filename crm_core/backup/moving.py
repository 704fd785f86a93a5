"""Moving a CRM from one database to another."""

from __future__ import annotations

from collections.abc import Mapping

from ..crm import CRM
from ..storage.backup.layout import Layout
from ..storage.backup.reading import Count, Extent, read, total
from .restoring import Source, bring
from .taking import describe, note
from .unlocking import check_keys


def move(source: CRM, target: CRM) -> Mapping[str, Count]:
    """Carry a whole CRM over to an empty database, of either kind, and return rows and checksum of each table, equal on both sides.

    It is one transaction there: all of it or nothing. Here one snapshot is read; writers are not kept from going on, and what they
    write is not carried over, so stop the application first. Both journals keep it.

    Raises:
        BackupRefused: ``backup_not_empty``, ``backup_schema``, ``backup_plugins_missing``, ``backup_differs``: as :func:`restore`;
            ``backup_other_keys``: the target's root keys do not open what is sealed.
        SchemaBehind: the schema on either side is not that of this code.
        Unavailable: a database cannot serve.
    """
    layout = Layout.of(source.tables)
    columns = {part.name: [c.name for c in part.columns] for part in layout.parts}
    here, there = source.bound.synchronous(), target.bound.synchronous()
    with here.snapshot() as from_, there.begin(unlimited=True) as to:
        head = describe(source, from_, None)
        moved = bring(target, to, Source(head, lambda: read(from_, layout, Extent()), columns))
        check_keys(target, to)
        told = {"position": head.position, "rows": total(moved)}
        note(target, to, head.tenants, "move", "core.restored.v1", told | {"from": source.bound.kind})
    with here.begin() as connection:
        note(source, connection, head.tenants, "move", "core.backed_up.v1", told | {"to": target.bound.kind})
    return moved
