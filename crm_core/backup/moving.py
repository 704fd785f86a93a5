"""Moving a CRM from one database to another."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import attrs
from sqlalchemy import Connection

from ..crm import CRM
from ..errors import BackupRefused
from ..storage.backup.layout import Layout
from ..storage.backup.reading import Count, Extent, read, total
from .restoring import Source, bring
from .taking import describe, note
from .undeclared import tell_undeclared
from .unlocking import check_keys


def move(source: CRM, target: CRM) -> Mapping[str, Count]:
    """Carry a whole CRM over to an empty database, of either kind, and return rows and checksum of each table, equal on both sides.

    It is one transaction there: all of it or nothing. Stop the application first: here one snapshot is read, and where somebody wrote
    until the rows were there, nothing is moved. Both journals keep it.

    Raises:
        BackupRefused: ``backup_written`` (the source was written meanwhile); ``backup_not_empty``, ``backup_schema``,
            ``backup_plugins_missing``, ``backup_differs``: as :func:`restore`; ``backup_other_keys``: the target's root keys do not
            open what is sealed.
        SchemaBehind: the schema on either side is not that of this code.
        Unavailable: a database cannot serve.
    """
    layout = Layout.of(source.tables)
    columns = {part.name: [c.name for c in part.columns] for part in layout.parts}
    here, there = source.bound.synchronous(), target.bound.synchronous()
    with ExitStack() as until_it_is_there:
        with there.begin(unlimited=True) as to:
            with here.snapshot() as from_:
                head = describe(source, from_, None)
                tell_undeclared(source, from_)
                moved = bring(target, to, Source(head, lambda: read(from_, layout, Extent()), columns))
            check_keys(target, to)
            told = {"position": head.position, "rows": total(moved)}
            note(target, to, head.tenants, "move", "core.restored.v1", told | {"from": source.bound.kind})
            last = until_it_is_there.enter_context(here.begin())
            _keep_writers_out(source, last)
            if attrs.evolve(describe(source, last, None), at=head.at) != head:
                raise BackupRefused("backup_written")
        note(source, last, head.tenants, "move", "core.backed_up.v1", told | {"to": target.bound.kind})
    return moved


def _keep_writers_out(crm: CRM, connection: Connection) -> None:
    """Let nobody write until the end of a transaction that writes: on SQLite nobody can, and elsewhere every change is journalled."""
    if crm.bound.kind == "postgresql":
        journal = connection.dialect.identifier_preparer.format_table(crm.tables.system.journal)
        connection.exec_driver_sql(f"LOCK TABLE {journal} IN SHARE ROW EXCLUSIVE MODE")
