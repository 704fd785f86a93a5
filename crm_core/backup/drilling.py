"""The drill: a backup that was never restored is a hope."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from sqlalchemy import StaticPool, create_engine

from ..crm import CRM
from ..storage.backup.archive import Archive, Manifest
from ..storage.backup.reading import total
from ..storage.keys.provider import KeyProvider
from .likeness import like
from .restoring import bring, of_file
from .unlocking import check_keys


@attrs.frozen
class Drilled:
    """What a drill showed: how much came back, and in how many seconds, the proof included."""

    manifest: Manifest
    rows: int
    seconds: float


class _Undo(Exception):
    """Nothing of this is to stay."""


def drill(crm: CRM, path: str | os.PathLike[str], key: KeyProvider | None = None) -> Drilled:
    """Restore a backup in a scratch place, prove it as :func:`restore` does, and leave nothing of it.

    On SQLite the scratch place is a temporary database without a name, on PostgreSQL a schema of its own in the CRM's database, in a
    transaction that is rolled back: not even a power cut leaves any of it.

    Args:
        crm: whose plugins and kind of database to try it with; its rows are not touched.

    Raises:
        BackupRefused: as :func:`restore`; ``backup_other_keys``: the CRM's root keys do not open what is sealed in it.
        Unavailable: the database cannot serve.
    """
    clock = crm.runtime.clock
    begun = clock.monotonic()
    archive = Archive(path, key)
    manifest = archive.verify()
    rows = 0
    try:
        with _scratch(crm) as scratch, scratch.bound.begin(unlimited=True) as connection:
            rows = total(bring(scratch, connection, of_file(manifest, archive, manifest.tenant)))
            check_keys(scratch, connection)
            raise _Undo
    except _Undo:
        return Drilled(manifest, rows, clock.monotonic() - begun)


@contextmanager
def _scratch(crm: CRM) -> Iterator[CRM]:
    """Give a CRM like this one, on nothing."""
    if crm.bound.kind == "postgresql":
        yield like(crm, crm.bound.bind, schema=f"crm_drill_{os.urandom(6).hex()}")
        return
    engine = create_engine("sqlite://", creator=_temporary, poolclass=StaticPool)
    try:
        yield like(crm, engine)
    finally:
        engine.dispose()


def _temporary() -> Any:
    """Open a database on the disk that has no name, so that nobody else finds it and it goes with its connection."""
    return sqlite3.connect("", isolation_level=None, check_same_thread=False)
