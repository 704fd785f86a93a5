"""What the tests of backups share: a key, a filled CRM, and databases in which there is nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crm_core import CRM, FileKeys
from crm_core.testing.databases import Database, Databases
from tests.backup.world import fill, lab
from tests.conftest import MakeCRM

Empty = Callable[[], CRM]


@pytest.fixture
def key(tmp_path: Path) -> FileKeys:
    return FileKeys.create(tmp_path / "key")


def _prepare(database: Database) -> None:
    crm = CRM(database.url, plugins=[lab])
    crm.migrate()
    fill(crm)
    crm.close()


@pytest.fixture
def crm(databases: Databases) -> Iterator[CRM]:
    """A CRM that is filled: a copy of one that was filled once."""
    database = databases.reserve()
    databases.fill(database, "filled for tests of backups", _prepare)
    crm = CRM(database.url, plugins=[lab])
    yield crm
    crm.close()
    databases.drop(database)


@pytest.fixture
def empty(make_crm: MakeCRM) -> Empty:
    """Make CRMs whose tables are there and have no rows."""
    return lambda: make_crm(plugins=[lab])


@pytest.fixture
def bare(databases: Databases) -> Iterator[CRM]:
    """A CRM on a database in which there is nothing at all."""
    database = databases.create()
    crm = CRM(database.url, plugins=[lab])
    yield crm
    crm.close()
    databases.drop(database)
