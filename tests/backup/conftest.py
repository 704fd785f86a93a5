"""What the tests of backups share: a key, a filled CRM, and databases in which there is nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crm_core import CRM
from crm_core.backup import KeyFile
from tests.backup.world import fill, lab
from tests.conftest import MakeCRM
from tests.databases import Database, Databases

Empty = Callable[[], CRM]


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile.create(tmp_path / "key")


@pytest.fixture
def crm(make_crm: MakeCRM) -> CRM:
    made: CRM = make_crm(plugins=[lab])
    fill(made)
    return made


@pytest.fixture
def empty(databases: Databases) -> Iterator[Empty]:
    """Make CRMs on databases in which there is nothing yet."""
    made: list[tuple[CRM, Database]] = []

    def make() -> CRM:
        database = databases.create()
        made.append((CRM(database.url, plugins=[lab]), database))
        return made[-1][0]

    yield make
    for crm, database in made:
        crm.close()
        databases.drop(database)
