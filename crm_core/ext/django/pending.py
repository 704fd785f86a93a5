"""What the schema of the host's CRMs lacks: told by Django's system checks and by ``migrate --check``, and made by ``migrate``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby
from typing import Any, Protocol

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.utils.module_loading import import_string

from ...crm import CRM
from ...errors import CRMError, SchemaBehind
from ...storage.django import DjangoBound

_migrating: ContextVar[bool] = ContextVar("crm_migrating", default=False)


class Output(Protocol):
    """What Django's commands write to."""

    def write(self, msg: str) -> object: ...


def found() -> Sequence[CRM]:
    """Return the host's CRMs: what the setting ``CRM`` names, one or a list.

    Raises:
        ImproperlyConfigured: there is no such setting.
    """
    named = getattr(settings, "CRM", None)
    if not named:
        raise ImproperlyConfigured('The setting CRM says where your CRM is, like CRM = "shop.crm.crm"')
    return [import_string(each) for each in ([named] if isinstance(named, str) else named)]


def on(using: str) -> Iterator[CRM]:
    """Return the CRMs on a database of Django's."""
    return (crm for crm in found() if isinstance(crm.bound, DjangoBound) and crm.bound.alias == using)


def check(*, databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Compare each CRM's schema with its code: ``manage.py check --database default --fail-level WARNING``.

    A warning, not an error: ``migrate`` itself refuses to begin where a check of its database has an error. It says nothing within
    :func:`migrating`.
    """
    behind: list[checks.CheckMessage] = []
    for using in () if _migrating.get() else databases or ():
        for crm in on(using):
            try:
                crm.migrations.check()
            except CRMError as e:
                hint = f"manage.py migrate --database {using}"
                behind.append(checks.Warning(f"{crm.tables.prefix}* on {using}: {e}", hint=hint, id=f"crm_core.{e.code}"))
    return behind


@contextmanager
def migrating() -> Iterator[None]:
    """Leave out in a block that tables are behind: who migrates need not be told to."""
    token = _migrating.set(True)
    try:
        yield
    finally:
        _migrating.reset(token)


def planned(using: str) -> list[str]:
    """Say step by step what ``migrate`` would do to the CRMs' tables; an adopted table that is not there yet is such a step, too."""
    steps: list[str] = []
    for crm in on(using):
        try:
            steps += crm.migrations.plan()
        except SchemaBehind as e:
            if e.code != "adopted_table_missing":
                raise
            steps.append(str(e))
    return steps


def upgrade(using: str, verbosity: int, out: Output | None) -> None:
    """Bring the tables of the CRMs on a database up to date, and tell of it as ``migrate`` tells of Django's.

    Raises:
        SchemaBehind: as :meth:`Migrations.upgrade`; a host's table that a migration of Django's is still to make is waited for.
    """
    for crm in on(using):
        try:
            steps = crm.migrations.plan() if out is not None and verbosity else []
            crm.migrations.upgrade()
        except SchemaBehind as e:
            if e.code != "adopted_table_missing" or not _has_more(using):
                raise
            if out is not None and verbosity:
                out.write(f"  The CRM's tables wait for the table {e.params['table']}, which a later migration makes.")
        else:
            _tell(crm, steps, verbosity, out)


def _tell(crm: CRM, steps: Sequence[str], verbosity: int, out: Output | None) -> None:
    """Name the revisions, and what is done to the host's own tables; with more *verbosity* every step."""
    hosts = {adoption.table.name for adoption in crm.tables.adopted.values()}
    for revision, found in groupby(steps, lambda step: step.partition(": ")[0]):
        lines = [step.partition(": ")[2] for step in found]
        if out is not None:
            out.write(f"  Applied CRM {revision} ({len(lines)} steps)")
            for line in lines:
                if verbosity > 1 or not hosts.isdisjoint(word.partition(".")[0] for word in line.split()):
                    out.write(f"    {line}")


def _has_more(using: str) -> bool:
    executor = MigrationExecutor(connections[using])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
