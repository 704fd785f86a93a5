"""Databases as the storage tests want them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.testing.databases import Database, PostgresDatabases


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    """A place for a SQLite database."""
    return tmp_path / "shop.db"


@pytest.fixture
def postgres(postgres_databases: PostgresDatabases) -> Iterator[Database]:
    """An empty PostgreSQL database, for what SQLite has no counterpart of."""
    made = postgres_databases.create()
    yield made
    postgres_databases.drop(made)
