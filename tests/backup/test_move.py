"""[C82] A whole company of all five modules moves from SQLite to PostgreSQL and back, each table with the same checksum."""

from __future__ import annotations

from pathlib import Path

import pytest

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import CRM
from crm_core.backup import BackupRefused, move
from crm_core.testing.databases import PostgresDatabases, SQLiteDatabases
from crm_demo.company import SETUP, Company
from crm_demo.play import play
from crm_demo.story import STORY
from tests.backup.world import plain, raw

MODULES = [m.plugin for m in (crm_analytics, crm_erp_bridge, crm_marketing, crm_sales, crm_service)]
# What every move adds to: the journal says that it was done, and claims are given out anew.
_MOVED = {"journal", "subscription"}


def test_c82_a_company_moves_to_postgresql_and_back(
    sqlite_databases: SQLiteDatabases, postgres_databases: PostgresDatabases, tmp_path: Path
) -> None:
    first, second, third = sqlite_databases.create(), postgres_databases.create(), sqlite_databases.create()
    company = Company(first.url, 7, tmp_path)
    company.crm.migrate()
    play(company, STORY)
    company.close()
    here, there, back = (CRM(database.url, plugins=MODULES) for database in (first, second, third))
    kept = plain(here, SETUP.tenant)
    gone = move(here, there)
    assert plain(there, SETUP.tenant) == kept
    with pytest.raises(BackupRefused) as error:
        move(here, there)
    assert error.value.code == "backup_not_empty"
    came = move(there, back)
    assert {n: c for n, c in came.items() if n not in _MOVED} == {n: c for n, c in gone.items() if n not in _MOVED}
    assert plain(back, SETUP.tenant) == kept
    assert _stored(back) == _stored(here)
    # A move is told on both sides, and adds one row to each journal.
    assert came["journal"].rows == gone["journal"].rows + 1
    print(f"\nC82: {sum(c.rows for c in gone.values())} rows in {sum(1 for c in gone.values() if c.rows)} of {len(gone)} tables, seed 7")
    for crm, database, databases in ((here, first, sqlite_databases), (there, second, postgres_databases), (back, third, sqlite_databases)):
        crm.close()
        databases.drop(database)


def _stored(crm: CRM) -> dict[str, list[str]]:
    """Return the rows that a move carries over, without the host's own tables and the mirror of its directory."""
    mirror = ("member", "team_member", "directory_state")
    return {name: rows for name, rows in raw(crm, without=(*_MOVED, *mirror)).items() if name.startswith("crm_")}
