"""Taking a backup, and proving that a file is one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from .. import __version__
from ..audit.chain import heads
from ..crm import CRM
from ..errors import BackupRefused, NotFound
from ..events.journal import last_position
from ..permissions.actor import Actor
from ..storage.backup.archive import Archive, Manifest, whole, write
from ..storage.backup.layout import Layout
from ..storage.backup.reading import Extent, read
from ..storage.keys.provider import KeyProvider
from .undeclared import tell_undeclared

MAIN = "main"


def backup(
    crm: CRM,
    path: str | os.PathLike[str],
    key: KeyProvider | None = None,
    *,
    plain: bool = False,
    tenant: str | None = None,
    force: bool = False,
) -> Manifest:
    """Write all that a CRM keeps, as it stands at one moment, to a file; writers go on meanwhile.

    The file appears whole and on the disk or not at all, and its owner alone may read it. The journal keeps that it was made
    (``core.backed_up.v1``, in each tenant that it holds).

    Args:
        key: wraps the file's own key, as :class:`~crm_core.FileKeys` does.
        plain: do not encrypt.
        tenant: the rows of this tenant alone, without where delivery stands.
        force: replace the file that is there.

    Raises:
        BackupRefused: ``backup_key_needed`` (neither *key* nor *plain*), ``backup_exists``, ``backup_plugins_missing``: the database
            has tables of plugins that this CRM has not.
        NotFound: ``tenant_unknown``: it has no rows.
        SchemaBehind: the database's schema is not that of this code.
        Unavailable: ``backup_no_room``, or the database cannot serve.
    """
    if key is None and not plain:
        raise BackupRefused("backup_key_needed")
    layout = Layout.of(crm.tables)
    bound = crm.bound.synchronous()
    if tenant is not None:
        with bound.begin(write=False) as connection:
            known = tenant in _tenants(crm, connection)
        if known:
            crm.audit.seal()  # a tenant's rows may come back before others, where none is sealed any more
    with whole(path, force=force) as file:
        with bound.snapshot() as connection:
            head = describe(crm, connection, tenant)
            tell_undeclared(crm, connection)
            manifest = write(file, head, read(connection, layout, Extent(tenant)), None if plain else key)
        if tenant is not None and not manifest.rows:
            raise NotFound("tenant_unknown", tenant=tenant[:63])
        told = {"position": manifest.position, "rows": manifest.rows, "encrypted": not plain, "file": os.path.basename(path)}
        with bound.begin() as connection:
            note(crm, connection, manifest.tenants, "backup", "core.backed_up.v1", told)
    return manifest


def verify(path: str | os.PathLike[str], key: KeyProvider | None = None) -> Manifest:
    """Read a backup from end to end, compare each table with its checksum, and return its manifest.

    Args:
        key: what the file was made with; None: it is not encrypted.

    Raises:
        BackupRefused: ``backup_damaged``, ``backup_wrong_key``, ``backup_key_needed``, ``backup_not_sealed`` (a key is given, and the file
            is not encrypted), ``backup_not_one``, ``backup_newer``, ``backup_unreadable``.
    """
    return Archive(path, key).verify()


def describe(crm: CRM, connection: Connection, tenant: str | None) -> Manifest:
    """Say what a backup in this transaction will be of; its tables are counted later."""
    crm.migrations.check(connection)
    left_out = crm.plugins.kept(connection)
    schema = {name: revision for name, revision in crm.migrations.current(connection).items() if name not in left_out}
    unknown = sorted(schema.keys() - {plugin.name for plugin in crm.registry.plugins})
    if unknown:
        raise BackupRefused("backup_plugins_missing", plugins=unknown)
    tenants = sorted(_tenants(crm, connection)) if tenant is None else [tenant]
    return Manifest(
        version=__version__,
        database=crm.bound.kind,
        at=crm.runtime.clock.now(),
        tenant=tenant,
        schema=schema,
        plugins={plugin.name: plugin.version for plugin in crm.registry.plugins},
        position=_end(crm, connection),
        tenants=tuple(tenants),
        heads={name: head.hash for name, head in heads(connection, crm.tables, tenants).items()},
    )


def _end(crm: CRM, connection: Connection) -> int:
    """Return the position that the journal's last row has, or will have once the sequencer has passed."""
    system = crm.tables.system
    end = last_position(connection, crm.tables)
    if crm.bound.kind == "sqlite":
        return end
    given = select(system.journal_position.c.position).where(system.journal_position.c.journal_id == system.journal.c.id)
    return end + (connection.scalar(select(func.count()).select_from(system.journal).where(~given.exists())) or 0)


def _tenants(crm: CRM, connection: Connection) -> Iterable[str]:
    return connection.execute(select(crm.tables.system.journal.c.tenant).distinct()).scalars()


def note(crm: CRM, connection: Connection, tenants: Iterable[str], job: str, kind: str, told: Mapping[str, Any]) -> None:
    """Tell the journal of each tenant, in a transaction that is open."""
    for tenant in tenants or (MAIN,):
        with crm.session(Actor.system(job, tenant=tenant), on=connection) as session:
            session.note(kind, told)
