"""A plugin comes, and comes in a newer version: what is said before, what is done, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_core import Account, Conflict, CRMError, Invalid, LoadError, Plugin, Session
from crm_core.testing.databases import Database
from tests.lifecycle.club import Member, club, kinds, system, visits
from tests.lifecycle.conftest import Open, World, one


@one
def test_a_plan_says_what_comes_and_does_nothing(w: World) -> None:
    plain = w.beside(club([], "2.0"), visits())
    before = plain.migrations.current()
    plan = plain.plugins.plan("visits")
    assert (plan.name, plan.version, plan.installed) == ("visits", "1.0", None)
    assert any("create table crm_visits_visit" in step for step in plan.steps)
    assert list(plan.brings) == ["entity visits.visit"]
    assert plain.migrations.current() == before
    newer = plain.plugins.plan("club")
    assert (newer.installed, newer.version, list(newer.waiting)) == ("1.0", "2.0", ["club.give"])
    assert {"entity club.member", "extends account", "permission club.award", "hook check_write: club.no_debts"} <= {*newer.brings}
    assert {"hears account.created: club.hear", "job club.hourly", "route POST /club/visits", "role club.admin"} <= {*newer.brings}


def test_installing_makes_what_it_needs_once_and_says_so_in_the_journal(database: Database, beside: object) -> None:
    from crm_core import CRM

    crm = CRM(database.url, plugins=[club([])])
    assert crm.plugins.list() == []
    assert crm.plugins.plan("club").installed is None
    assert crm.plugins.install("club", reason="pilot")
    assert not crm.plugins.install("club")
    crm.migrations.check()
    assert kinds(crm) == [("plugin_installed", {"plugin": "club", "version": "1.0", "before": None})]
    (status,) = crm.plugins.list()
    assert (status.name, status.state, status.loaded) == ("club", "enabled", True)
    crm.close()


@one
def test_what_a_migration_brought_is_installed_without_doing_it_again(w: World) -> None:
    assert w.crm.plugins.install("club")
    assert kinds(w.crm) == [("plugin_installed", {"plugin": "club", "version": "1.0", "before": None})]
    assert not w.crm.plugins.install("club")


@one
def test_an_upgrade_runs_the_data_migrations_and_names_both_versions(w: World) -> None:
    w.crm.plugins.install("club")
    w.account("Acme", "acme")
    w.crm.run_pending()
    done: list[str] = []
    newer = w.beside(club(done, "2.0"))
    assert newer.plugins.upgrade("club")
    assert sorted(done) == ["migrated to 2.0", "migrated to 2.0"]  # once a tenant
    assert not newer.plugins.upgrade("club")
    assert kinds(newer)[-1] == ("plugin_upgraded", {"plugin": "club", "version": "2.0", "before": "1.0"})
    assert [s.version for s in newer.plugins.list() if s.name == "club"] == ["2.0"]


@one
def test_an_older_version_is_refused_and_leaves_what_the_newer_noted(w: World) -> None:
    newer = w.beside(club([], "2.0"))
    newer.plugins.upgrade("club")
    for verb in (w.crm.plugins.upgrade, w.crm.plugins.install, w.crm.plugins.plan):
        with pytest.raises(Conflict) as older:
            verb("club")
        assert (older.value.code, older.value.params["installed"]) == ("plugin_older", "2.0")
    w.crm.migrate()
    assert [s.version for s in w.crm.plugins.list() if s.name == "club"] == ["2.0"]


@one
def test_a_data_migration_that_failed_is_gone_on_with_by_the_next_call(w: World) -> None:
    plugin, moods = club([], "1.0"), [RuntimeError("not yet")]
    plugin.version = "2.0"

    @plugin.data_migration("2.0")
    def fill(s: Session) -> None:
        if moods:
            raise moods.pop()

    newer = w.beside(plugin)
    with pytest.raises(CRMError) as failed:
        newer.plugins.upgrade("club")
    assert failed.value.code == "data_migration_failed"
    assert newer.plugins.upgrade("club")
    assert not newer.plugins.upgrade("club")
    assert [k for k, _ in kinds(newer)] == ["plugin_installed"]


@one
@pytest.mark.parametrize("name", ["clubb", "", "core"])
def test_names_that_are_not_here_are_refused(w: World, name: str) -> None:
    for verb in (w.crm.plugins.install, w.crm.plugins.upgrade, w.crm.plugins.plan, w.crm.plugins.disabling):
        with pytest.raises((LoadError, Invalid)):
            verb(name)


@one
def test_what_was_never_installed_is_not_upgraded(w: World) -> None:
    other = w.beside(club([]), visits())
    with pytest.raises(Invalid) as absent:
        other.plugins.upgrade("visits")
    assert absent.value.code == "plugin_absent"
    assert "visits" not in other.migrations.current()


@one
def test_a_version_that_does_not_go_with_the_others_is_refused_before_anything_is_done(w: World) -> None:
    picky = Plugin("picky", version="1.0", requires={"club": ">=3"})
    with pytest.raises(LoadError) as wrong:
        w.beside(club([]), picky)
    assert wrong.value.params["plugin"] == "picky"


def test_kept_data_is_found_again_and_missed_events_are_delivered(open_world: Open) -> None:
    w = open_world()
    member = w.member(w.account("Acme"), "A-1")
    w.crm.run_pending()
    w.crm.plugins.uninstall("club", keep_data=True)
    w.done.clear()
    without = w.beside()
    w.account("Debtor", crm=without)  # nobody checks it, and its columns have no value
    without.run_pending()
    again = w.beside(club(w.done))
    again.run_pending()
    assert w.done == []  # uninstalled, it rests though its code is there
    assert again.plugins.install("club")
    again.run_pending()
    assert w.done == ["heard Debtor"]
    with again.session(system()) as s:
        found = s.get(Member, member.id)
        assert (found.number, [m.address for m in found.mails]) == ("A-1", ["a-1@acme.test"])
        s.update(Member, member.id, {"number": "A-2"}, version=found.version)
        assert s.query(Account).count() == 2
    told = [kind for kind, _ in kinds(again)]
    assert told == ["plugin_uninstalled", "plugin_installed"]


@one
def test_what_it_requires_must_be_there_first(open_world: Open) -> None:
    w = open_world(beside=True)
    w.crm.plugins.uninstall("visits", keep_data=True)
    w.crm.plugins.uninstall("club", keep_data=True)
    with pytest.raises(Conflict) as off:
        w.crm.plugins.install("visits")
    assert off.value.code == "plugin_needs_enabled"
    attempts: list[Callable[[str], bool]] = [w.crm.plugins.install] * 2
    assert [verb(name) for verb, name in zip(attempts, ("club", "visits"), strict=True)] == [True, True]
