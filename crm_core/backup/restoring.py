"""Restoring a backup: all of it or nothing, into a database without records, proved before it is committed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import attrs
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DataError, InterfaceError, ProgrammingError

from ..crm import CRM
from ..errors import BackupRefused, NotFound
from ..permissions.actor import Actor
from ..privacy.certificate import Certificate
from ..privacy.erasing import certificates, reapply
from ..storage.backup.archive import Archive, Manifest
from ..storage.backup.layout import Layout
from ..storage.backup.loading import clear, fence, give_positions, is_empty, load, skip, strays
from ..storage.backup.reading import Count, Extent, Rows, Tally, read, total
from ..storage.keys.provider import KeyProvider
from ..tenants import dropped
from .taking import note

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_VALUES = (ValueError, TypeError, AttributeError, LookupError, RecursionError, ArithmeticError)
_MICROSECOND = timedelta(microseconds=1)


def restore(
    crm: CRM,
    path: str | os.PathLike[str],
    key: KeyProvider | None = None,
    *,
    tenant: str | None = None,
    force: bool = False,
    erasures: Iterable[Certificate] = (),
) -> Manifest:
    """Bring a backup into a CRM's database, in one transaction: the tables are made where there are none, the rows compared with their
    checksums before the commit. Stop the application that works there first.

    Numbers go on after the highest. Subscriptions go on where they stood when the backup was made, and whoever holds a claim on one from
    before loses it. The journal keeps it (``core.restored.v1``).

    Args:
        key: what the file was made with; None: it is not encrypted.
        tenant: bring this tenant in alone, beside others. Its history comes before the journal's beginning, so that no subscriber
            hears of it again; a backup of one tenant is always restored so.
        force: replace what is there: everything, or that tenant's rows.
        erasures: whom to erase again, as are those that the database knew to be erased; see :mod:`crm_core.privacy`.

    Raises:
        BackupRefused: as :func:`verify`; ``backup_not_empty``, ``backup_other_tenant``, ``backup_schema`` (the database's schema is
            another than the backup's), ``backup_adopted`` (the rows of adopted tables are the host's), ``backup_unknown_table``,
            ``backup_stray`` (a row is of another tenant than it may be, or points at one), ``backup_differs`` (the rows read back are
            not those of the backup).
        NotFound: ``tenant_unknown``: the backup has no rows of it.
        SchemaBehind: the database's schema is not that of this code.
        Unavailable: the database cannot serve.
    """
    archive = Archive(path, key)
    manifest = archive.verify()
    if tenant is not None and (manifest.tenant or tenant) != tenant:
        raise BackupRefused("backup_other_tenant", tenant=tenant[:63], found=manifest.tenant)
    source = of_file(manifest, archive, tenant or manifest.tenant)
    with crm.bound.synchronous().begin(unlimited=True) as connection:
        erased = [*_known_erasures(crm, connection), *erasures]
        brought = bring(crm, connection, source, force=force)
        told = {"position": manifest.position, "rows": total(brought), "at": manifest.at.isoformat(), "file": os.path.basename(path)}
        note(crm, connection, (source.tenant,) if source.tenant else manifest.tenants, "restore", "core.restored.v1", told)
        for theirs in sorted({each.tenant for each in erased}):
            with crm.session(Actor.system("restore", tenant=theirs), on=connection) as session:
                reapply(session, erased)
    return manifest


def _known_erasures(crm: CRM, connection: Connection) -> list[Certificate]:
    """Return who was erased in the database, before its rows are replaced."""
    if not crm.migrations.current(connection):
        return []
    tenants = connection.execute(select(crm.tables.system.journal.c.tenant).distinct()).scalars().all()
    found: list[Certificate] = []
    for tenant in tenants:
        with crm.session(Actor.system("restore", tenant=tenant), on=connection) as session:
            found += certificates(session)
    return found


@attrs.frozen
class Source:
    """Where rows come from: a backup's file, or another database.

    Attributes:
        open: begins to read, each time anew.
        columns: of each table.
        tenant: whose rows alone to take; None: everybody's.
    """

    manifest: Manifest
    open: Callable[[], Iterator[Rows]]
    columns: Mapping[str, Sequence[str]]
    tenant: str | None = None


def of_file(manifest: Manifest, archive: Archive, tenant: str | None) -> Source:
    """Return a backup's file as a source, of one tenant where that is asked for."""
    columns = {name: count.columns for name, count in manifest.tables.items()}
    if tenant is None:
        return Source(manifest, archive.tables, columns)
    theirs = {name: each for name, each in columns.items() if "tenant" in each}
    return Source(manifest, lambda: _of_tenant(tenant, archive.tables(), alone=manifest.tenant is not None), theirs, tenant)


def _of_tenant(tenant: str, tables: Iterator[Rows], *, alone: bool) -> Iterator[Rows]:
    """Yield a tenant's rows; in an archive that says it has no others, others are refused."""

    def mine(name: str, at: int, lines: Iterator[bytes]) -> Iterator[bytes]:
        for line in lines:
            if json.loads(line)[at] == tenant:
                yield line
            elif alone:
                raise BackupRefused("backup_stray", tables=[name])

    for rows in tables:
        if "tenant" not in rows.columns:
            skip(rows)
            continue
        at = rows.columns.index("tenant")
        yield attrs.evolve(rows, lines=mine(rows.name, at, rows.lines))


def bring(crm: CRM, connection: Connection, source: Source, *, force: bool = False) -> Mapping[str, Count]:
    """Bring all rows in, in a transaction that is open, prove them, and return how many there are."""
    if crm.tables.adopted:  # their rows are the host's, and so is bringing them back
        raise BackupRefused("backup_adopted", tables=sorted(adoption.table.name for adoption in crm.tables.adopted.values()))
    layout, tenant = Layout.of(crm.tables).shaped(source.columns), source.tenant
    _make_room(crm, connection, layout, source, force)
    extent = Extent() if tenant is None else _before_the_beginning(crm, connection, source)
    epoch = _epoch(crm, connection)
    try:
        brought = load(connection, layout, source.open, shift=extent.shift)
    except (*_NO_VALUES, DataError, InterfaceError, ProgrammingError) as e:
        raise BackupRefused("backup_damaged", where="rows") from e
    if tenant is not None and not total(brought):
        raise NotFound("tenant_unknown", tenant=tenant[:63])
    if pointing := strays(connection, layout, tenant):
        raise BackupRefused("backup_stray", tables=pointing)
    give_positions(connection, layout, extent)
    found = Tally()
    try:
        for rows in found.through(read(connection, layout, extent)):
            skip(rows)
    except _NO_VALUES as e:  # SQLite keeps what it is given, whatever the column is for
        raise BackupRefused("backup_damaged", where="rows") from e
    differing = sorted(name for name in brought if found.tables[name] != brought[name])
    if differing:
        raise BackupRefused("backup_differs", tables=differing)
    if tenant is None:
        fence(connection, layout, epoch)
    crm.migrations.upgrade(connection)
    crm.migrations.check(connection)
    return brought


def _make_room(crm: CRM, connection: Connection, layout: Layout, source: Source, force: bool) -> None:
    """See that the schema is the backup's, and that there are no rows."""
    schema = source.manifest.schema
    fresh = not crm.migrations.current(connection)
    if fresh:
        crm.migrations.upgrade(connection, to=schema)
    else:
        crm.migrations.check(connection)
    current = crm.migrations.current(connection)
    differing = sorted(name for name, revision in schema.items() if current.get(name) != revision)
    if differing:
        raise BackupRefused("backup_schema", plugins=differing)
    unknown = sorted(current.keys() - {plugin.name for plugin in crm.registry.plugins})
    if unknown and source.tenant is None:  # their rows would stay, of records that go
        raise BackupRefused("backup_plugins_missing", plugins=unknown)
    if not is_empty(connection, layout, source.tenant) and not force:
        raise BackupRefused("backup_not_empty", tenant=source.tenant)
    if source.tenant is None:
        clear(connection, layout)
    elif not fresh:
        dropped(crm, connection, source.tenant)


def _before_the_beginning(crm: CRM, connection: Connection, source: Source) -> Extent:
    """Return where a tenant's journal finds room: in front of all that is there, and of where every subscription began."""
    lowest = connection.scalar(select(func.min(crm.tables.system.journal.c.id))) or 0
    last = source.manifest.position
    return Extent(source.tenant, shift=last + 1 - min(lowest, 0), upto=last)


def _epoch(crm: CRM, connection: Connection) -> int:
    """Return a token that no claim has had, here or where the backup comes from: those are counted from one."""
    highest = connection.scalar(select(func.max(crm.tables.system.subscription.c.token))) or 0
    return max(highest + 1, (crm.runtime.clock.now() - _EPOCH) // _MICROSECOND)
