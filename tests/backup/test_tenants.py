"""[C74] One tenant: out of a backup and back beside the others, and away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Account, FileKeys, NotFound
from crm_core.backup import BackupRefused, backup, drop_tenant, restore
from crm_core.events.journal import history
from tests.backup.conftest import Empty
from tests.backup.world import journal, plain, raw, system

_MADE = ("journal", "journal_position", "sequencer", "subscription", "idempotency", "parking")


def others(crm: CRM, tenant: str) -> dict[str, list[str]]:
    """Return all rows but those of a tenant."""
    return {name: [row for row in rows if repr(tenant) not in row] for name, rows in raw(crm, without=_MADE).items()}


def past(crm: CRM, tenant: str) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return the history of each of a tenant's accounts."""
    with crm.bound.begin(write=False) as connection:
        ids = connection.scalars(select(crm.table(Account).c.id).where(crm.table(Account).c.tenant == tenant).order_by("id")).all()
        return [(str(i), [(e.kind, e.version) for e in history(connection, crm.tables, tenant, "account", str(i))]) for i in ids]


@pytest.mark.parametrize("whole", [False, True], ids=["its own backup", "everybody's backup"])
def test_c74_a_dropped_tenant_comes_back_and_nobody_hears_of_it_twice(whole: bool, crm: CRM, key: FileKeys, tmp_path: Path) -> None:
    crm.run_pending()
    records, story, rest = plain(crm, "acme"), past(crm, "acme"), others(crm, "acme")
    assert len(story) == 5
    made = backup(crm, tmp_path / "acme.crm", key, tenant=None if whole else "acme")
    assert (made.tenant, "subscription" in made.tables) == ((None, True) if whole else ("acme", False))
    gone = drop_tenant(crm, "acme")
    assert gone["account"] == 5
    assert plain(crm, "acme") == {name: [] for name in records}
    assert [row[4] for row in journal(crm) if row[1] == "acme"] == ["core.tenant_dropped.v1"]
    assert others(crm, "acme") == rest
    restore(crm, tmp_path / "acme.crm", key, tenant="acme")
    assert (plain(crm, "acme"), past(crm, "acme"), others(crm, "acme")) == (records, story, rest)
    assert crm.run_pending() == 0
    with crm.session(system("acme")) as s:
        found = s.query(Account).where(Account.name == "below").all() or s.query(Account).order_by(Account.id).all()
        again = s.update(Account, found[0].id, {"name": "again"}, version=found[0].version)
    assert crm.run_pending() == 0  # an update: the subscriber asks for new accounts
    with crm.bound.begin(write=False) as connection:
        kinds = [e.kind for e in history(connection, crm.tables, "acme", "account", again.id)]
    assert kinds[-1] == "account.updated.v1"
    assert kinds[0] == "account.created.v1"
    with crm.session(system("acme")) as s:
        s.create(Account(name="new"))
    assert crm.run_pending() == 1


def test_c74_a_tenant_goes_into_a_database_of_others_and_into_an_empty_one(crm: CRM, empty: Empty, key: FileKeys, tmp_path: Path) -> None:
    backup(crm, tmp_path / "acme.crm", key, tenant="acme")
    other = empty()
    restore(other, tmp_path / "acme.crm", key)
    assert plain(other, "acme") == plain(crm, "acme")
    assert plain(other) == {name: [] for name in plain(other)}
    with other.session(system("third")) as s:
        s.create(Account(name="new"))
    assert other.run_pending() == 1


def test_c74_a_tenant_that_is_there_is_replaced_only_by_force(crm: CRM, key: FileKeys, tmp_path: Path) -> None:
    backup(crm, tmp_path / "acme.crm", key, tenant="acme")
    before, records, rest = raw(crm), plain(crm, "acme"), others(crm, "acme")
    with pytest.raises(BackupRefused) as error:
        restore(crm, tmp_path / "acme.crm", key)
    assert (error.value.code, error.value.params["tenant"]) == ("backup_not_empty", "acme")
    with pytest.raises(BackupRefused) as error:
        restore(crm, tmp_path / "acme.crm", key, tenant="main")
    assert error.value.code == "backup_other_tenant"
    assert {n: r for n, r in raw(crm).items() if n != "crm_journal"} == {n: r for n, r in before.items() if n != "crm_journal"}
    for _ in range(2):
        restore(crm, tmp_path / "acme.crm", key, force=True)
        assert (plain(crm, "acme"), others(crm, "acme")) == (records, rest)


def test_c74_what_is_written_after_a_tenant_went_is_delivered(crm: CRM) -> None:
    """Its journal goes from the end, but no position is given out twice: a subscriber is past those."""
    crm.run_pending()
    with crm.session(system("third")) as s:
        s.create_many([Account(name=f"new {n}") for n in range(30)])
    assert crm.run_pending() == 30
    drop_tenant(crm, "third")
    with crm.session(system()) as s:
        s.create(Account(name="after"))
    assert crm.run_pending() == 1
    assert [line.record for line in crm.delivery.parked()]


def test_c74_dropping_a_tenant_takes_its_parked_events_along(crm: CRM) -> None:
    assert len(crm.delivery.parked()) == 2
    drop_tenant(crm, "acme")
    assert len(crm.delivery.parked()) == 1
    with crm.bound.begin(write=False) as connection:
        system_tables = crm.tables.system
        lone = (
            select(func.count())
            .select_from(system_tables.journal_position)
            .where(
                ~select(system_tables.journal.c.id)
                .where(system_tables.journal.c.id == system_tables.journal_position.c.journal_id)
                .exists()
            )
        )
        assert connection.scalar(lone) == 0


def test_c74_a_tenant_that_is_not_there_is_said(crm: CRM, key: FileKeys, tmp_path: Path) -> None:
    backup(crm, tmp_path / "all.crm", key)
    before = raw(crm)
    calls: list[Callable[[], object]] = [
        lambda: drop_tenant(crm, "nobody"),
        lambda: backup(crm, tmp_path / "nobody.crm", key, tenant="nobody"),
        lambda: restore(crm, tmp_path / "all.crm", key, tenant="nobody"),
    ]
    for call in calls:
        with pytest.raises(NotFound) as error:
            call()
        assert error.value.code == "tenant_unknown"
    assert raw(crm) == before
    assert not (tmp_path / "nobody.crm").exists()
