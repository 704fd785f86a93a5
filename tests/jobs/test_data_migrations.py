"""A plugin from 1.x to 2.0 on a filled database: the schema, the rows, an event of version 2; and a kill in the midst."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crm_core import CRM, Actor, Unavailable
from tests.databases import Database
from tests.jobs.loyalty import KILLED_AFTER, ROWS, new, old

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "crm_core")


def fill(url: str) -> None:
    """Make a database of version 1.x: members in two tenants, and an event that nobody heard yet."""
    plugin, member, joined = old()
    crm = CRM(url, plugins=[plugin])
    crm.migrate()
    for tenant in ("main", "acme"):
        with crm.session(Actor.system("test", tenant=tenant)) as s:
            made = s.create_many([member(name=f"First{n} Last{n}") for n in range(ROWS)]).ok
            s.use(joined).say(made[0])
    crm.close()


def upgrade(url: str, *, die: bool) -> int:
    """Bring it to 2.0 in another process, which may die in the midst."""
    program = [sys.executable, "-m", "tests.jobs.loyalty", url, "die" if die else "live"]
    return subprocess.run(program, cwd=ROOT, capture_output=True, check=False).returncode


def test_an_upgrade_that_is_killed_in_the_midst_goes_on_where_it_was(database: Database) -> None:
    fill(database.url)
    assert upgrade(database.url, die=True) == 9
    heard: list[tuple[str, str]] = []
    plugin, member = new(heard)
    crm = CRM(database.url, plugins=[plugin])
    try:
        with crm.session(Actor.system("test", tenant="acme"), write=False) as s:
            assert s.query(member).where(member.last != "").count() == KILLED_AFTER
        assert crm.jobs.run_due() == 1, "only main's: acme's is lent to who died"
        assert {(j.tenant, j.state) for j in crm.jobs.waiting()} == {("acme", "running")}
        expire_leases(crm)
        crm.migrate()
        assert crm.jobs.waiting() == []
        for tenant in ("main", "acme"):
            with crm.session(Actor.system("test", tenant=tenant), write=False) as s:
                members = s.query(member).order_by(member.id).all()
                assert [(m.name, m.last) for m in members] == [(f"First{n}", f"Last{n}") for n in range(ROWS)]
                assert {m.version for m in members} == {2}, "each was written once, whatever was killed"
        runs = crm.jobs.runs("loyalty.split_names", tenant="acme")
        assert [(r.state, r.done) for r in runs] == [("done", ROWS), ("lost", KILLED_AFTER)]
    finally:
        crm.close()


def test_an_event_of_version_1_is_heard_as_version_2_after_the_upgrade(database: Database) -> None:
    fill(database.url)
    heard: list[tuple[str, str]] = []
    plugin, _ = new(heard)
    crm = CRM(database.url, plugins=[plugin])
    try:
        crm.migrate()
        crm.run_pending()
        assert sorted(heard) == [("First0", "Last0"), ("First0", "Last0")]
    finally:
        crm.close()


def test_a_data_migration_that_fails_says_so_and_keeps_its_checkpoint(database: Database) -> None:
    fill(database.url)
    plugin, member = new([], fail_at=4)
    crm = CRM(database.url, plugins=[plugin])
    with pytest.raises(Unavailable) as raised:
        crm.migrate()
    assert raised.value.code == "data_migration_failed"
    crm.close()
    plugin, member = new([])
    crm = CRM(database.url, plugins=[plugin])
    crm.migrate()
    with crm.session(Actor.system("test", tenant="acme"), write=False) as s:
        assert s.query(member).where(member.last == "").count() == 0
    crm.close()


def test_a_new_database_and_a_new_tenant_have_nothing_to_bring_along(database: Database) -> None:
    plugin, member = new([])
    crm = CRM(database.url, plugins=[plugin])
    crm.migrate()
    with crm.session(Actor.system("test", tenant="late")) as s:
        s.create(member(name="Anne Marie", last="Late"))
    crm.migrate()
    crm.run_pending()
    assert {j.tenant for j in crm.jobs.list()} == {"main"}
    with crm.session(Actor.system("test", tenant="late"), write=False) as s:
        assert s.query(member).one().name == "Anne Marie"
    crm.close()


def expire_leases(crm: CRM) -> None:
    """Let the time of a dead worker pass."""
    table = crm.tables.system.job
    with crm.bound.begin() as connection:
        connection.execute(table.update().values(until=None))
