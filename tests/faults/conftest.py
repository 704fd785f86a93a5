"""Databases to break: a prepared SQLite file to copy, and a PostgreSQL of its own whose processes may be killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tests.faults.dbapi  # noqa: F401  # makes sqlite+apsw known
from crm_core import CRM
from crm_core.testing.databases import PostgresDatabases
from crm_core.testing.postgres import PostgresServer

NewFile = Callable[[], Path]


@pytest.fixture(scope="session")
def empty_crm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without rows."""
    path = tmp_path_factory.mktemp("faults") / "empty.db"
    crm = CRM(f"sqlite+apsw:///{path}")
    crm.migrate()
    crm.close()
    return path


@pytest.fixture
def new_file(tmp_path: Path, empty_crm: Path) -> NewFile:
    """Copy the migrated file to a new name, as often as asked."""
    made: list[Path] = []

    def make() -> Path:
        path = tmp_path / f"shop{len(made)}.db"
        made.append(path)
        shutil.copyfile(empty_crm, path)
        return path

    return make


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresDatabases]:
    """A PostgreSQL with fsync on, whose crash hurts no other test."""
    server = PostgresServer.start(durable=True)
    databases = PostgresDatabases(server.url, "own")
    yield databases
    databases.close()
    server.stop()
