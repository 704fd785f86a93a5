"""A backup and the sealed journal: what is restored still proves what happened [C73, C74]."""

from __future__ import annotations

from pathlib import Path

from crm_core import CRM, Account, Actor, FileKeys
from crm_core.backup import backup, drop_tenant, restore
from crm_core.testing.databases import PostgresDatabases, SQLiteDatabases
from tests.backup.world import lab

from .conftest import Empty


def test_c73_the_chains_of_a_restored_crm_verify_and_go_on(crm: CRM, empty: Empty, key: FileKeys, tmp_path: Path) -> None:
    manifest = backup(crm, tmp_path / "one.crm", key)
    assert set(manifest.heads) == set(manifest.tenants)
    again = empty()
    restore(again, tmp_path / "one.crm", key)
    with again.session(Actor.system("test", tenant="main")) as s:
        s.create(Account(name="Later"))
    again.audit.seal()
    verdict = again.audit.verify()
    assert verdict.ok, verdict.findings
    assert sum(verdict.sealed.values()) > manifest.tables["journal"].rows
    assert not any(verdict.unsealed.values())


def test_c73_the_chains_verify_on_the_other_database(
    sqlite_databases: SQLiteDatabases, postgres_databases: PostgresDatabases, crm: CRM, key: FileKeys, tmp_path: Path
) -> None:
    backup(crm, tmp_path / "one.crm", key)
    other = sqlite_databases if crm.bound.kind == "postgresql" else postgres_databases
    database = other.create()
    there = CRM(database.url, plugins=[lab])
    restore(there, tmp_path / "one.crm", key)
    assert there.audit.verify().ok
    there.close()
    other.drop(database)


def test_c73_a_tenant_that_was_dropped_and_came_back_verifies(crm: CRM, key: FileKeys, tmp_path: Path) -> None:
    manifest = backup(crm, tmp_path / "one.crm", key)
    tenant = manifest.tenants[-1]
    backup(crm, tmp_path / "tenant.crm", key, tenant=tenant)
    drop_tenant(crm, tenant)
    assert crm.audit.verify().ok
    restore(crm, tmp_path / "tenant.crm", key, tenant=tenant)
    crm.audit.seal()
    verdict = crm.audit.verify()
    assert verdict.ok, verdict.findings
