"""A plugin that somebody switched off: what rests, what stays, who hears of it, and what waits for its return."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from crm_core import Account, Actor, Conflict, Contact, Denied, Invalid, Plugin, Refused, Unavailable, WriteCtx, check_write
from crm_core.inbound import Request
from crm_core.privacy import erase
from tests.lifecycle.club import Award, Cards, Guest, Member, Perks, club, kinds, later, system
from tests.lifecycle.conftest import Open, World, one

VISIT = Request("POST", "/club/visits", {})


@one
def test_a_plugin_runs_until_it_is_disabled(w: World) -> None:
    w.crm.start()
    acme = w.account("Acme")
    w.crm.run_pending()
    later(w.clock, hours=1)
    w.crm.run_pending()
    with pytest.raises(Refused):
        w.account("Debtor")
    with w.crm.session(system()) as s:
        s.use(Cards)
        s.perform(Award(acme.ref))
        assert [p.name for p in s.view360(acme).panels if p.plugin == "club"]
    assert w.crm.answer(VISIT).status == 204
    assert w.done == ["phone on", "heard Acme", "hourly", "awarded", "visited"]


@pytest.mark.parametrize("tenant", ["main", "acme"])
def test_of_a_disabled_plugin_nothing_runs_in_any_tenant(w: World, tenant: str) -> None:
    w.crm.start()
    assert w.crm.plugins.disable("club") == ["club"]
    assert w.done == ["phone on", "phone off"]
    debtor = w.account("Other", tenant)
    with pytest.raises(Refused):
        w.account("Debtor", tenant)  # its check on others' records is asked still
    later(w.clock, hours=2)
    w.crm.run_pending()
    for actor in (system(tenant), Actor("7", tenant=tenant, roles={"club.admin"})):
        with w.crm.session(actor) as s:
            for call in (lambda: s.use(Cards), lambda: s.perform(Award(debtor.ref))):
                with pytest.raises(Unavailable) as off:
                    call()
                assert (off.value.code, off.value.params["plugin"]) == ("plugin_disabled", "club")
            assert [a.name for a in s.actions(debtor)] == []
            assert [p.name for p in s.view360(debtor).panels if p.plugin == "club"] == []
    with pytest.raises(Unavailable):
        w.crm.jobs.run("club.hourly")
    assert w.crm.answer(VISIT, tenant=tenant).status == 503
    assert w.done == ["phone on", "phone off"]
    w.crm.close()


def test_its_records_and_fields_are_read_and_nobody_changes_them(w: World) -> None:
    acme = w.account("Acme")
    member = w.member(acme, "A-1")
    w.crm.plugins.disable("club")
    for actor in (system(), Actor("7", roles={"club.admin"})):
        with w.crm.session(actor) as s:
            assert s.get(Member, member.id).number == "A-1"
            assert s.get(Account, acme.id)[Perks].points == 0
            assert not s.can("update", Member)
            with pytest.raises(Denied):
                s.create(Member(account=acme.ref, number="A-2"))
            with pytest.raises(Denied):
                s.update(Member, member.id, {"number": "A-3"}, version=member.version)
            with pytest.raises(Denied):
                s.delete(s.get(Member, member.id))
            changed = s.get(Account, acme.id)
            changed[Perks].points = 7
            with pytest.raises((Denied, Invalid)):
                s.save(changed)
            assert s.describe(Account)["fields"]["club_points"]["writable"] is False
    with w.crm.session(system()) as s:
        s.update(Account, acme.id, {"name": "Acme AG"}, version=acme.version)
        assert s.get(Account, acme.id)[Perks].points == 0


@one
def test_a_person_is_erased_from_its_records_all_the_same(w: World) -> None:
    with w.crm.session(system()) as s:
        ada = s.create(Contact(name="Ada"))
        guest = s.create(Guest(contact=ada.ref, note="likes tea"))
    w.crm.plugins.disable("club")
    with w.crm.session(system()) as s:
        erase(s, ada, reason="asked")
    with w.crm.session(system()) as s:
        assert "tea" not in str([w.crm.to_json(g) for g in s.query(Guest).where(Guest.id == guest.id).all()])


def test_what_was_written_while_it_was_switched_is_delivered_once(w: World) -> None:
    writer, names = w.beside(club(w.done)), [f"A {n}" for n in range(12)]

    def write() -> None:
        for name in names:
            w.account(name, crm=writer)

    thread = threading.Thread(target=write)
    thread.start()
    w.crm.plugins.disable("club")
    w.crm.run_pending()
    w.crm.plugins.enable("club")
    thread.join()
    w.crm.run_pending()
    assert w.done == [f"heard {name}" for name in names]
    w.crm.migrations.check()


def test_what_its_roles_restrict_stays_restricted(w: World) -> None:
    with w.crm.session(system()) as s:
        for name, points in (("few", 1), ("many", 1000)):
            account = Account(name=name)
            account[Perks].points = points
            s.create(account)
    w.crm.plugins.disable("club")
    with w.crm.session(Actor("7", roles={"club.ours"})) as s:
        assert [a.name for a in s.query(Account).all()] == ["few"]


def test_its_events_wait_in_order_and_are_delivered_afterwards(w: World) -> None:
    w.account("before")
    w.crm.plugins.disable("club")
    names = [f"{n} {tenant}" for n in range(3) for tenant in ("main", "acme")]
    for name in names:
        w.account(name, name.split()[1])
    w.crm.run_pending()
    assert w.done == []
    assert w.crm.plugins.enable("club") == ["club"]
    w.crm.run_pending()
    assert w.done == [f"heard {name}" for name in ("before", *names)]


@pytest.mark.parametrize("again", [False, True], ids=["new", "parked"])
def test_what_fails_since_it_was_switched_off_at_work_counts_as_no_failure(open_world: Open, again: bool) -> None:
    w = open_world()

    class Tripped(list[str]):
        def append(self, what: str) -> None:
            if what == "heard A 1" and self.tripping:
                self.tripping -= 1
                if not again or not self.tripping:
                    crm.registry.health.disable(frozenset({"club"}))  # as another thread of this process finds out
                raise ZeroDivisionError
            super().append(what)

        tripping = 2 if again else 1

    done = Tripped()
    crm = w.beside(club(done))
    for n in range(3):
        w.account(f"A {n}")
    crm.run_pending()
    if again:
        assert done == ["heard A 0", "heard A 2"]
        later(w.clock, minutes=30)
        crm.run_pending()
    (line,) = crm.delivery.parked()
    assert (line.attempts, line.next_try) == (1 if again else 0, None)
    crm.plugins.disable("club")
    crm.plugins.enable("club")
    crm.run_pending()
    assert sorted(done) == ["heard A 0", "heard A 1", "heard A 2"]
    assert crm.delivery.parked() == []


def test_other_processes_follow_within_ten_seconds(w: World) -> None:
    done: list[str] = []
    other = w.beside(club(done))
    with pytest.raises(Refused):
        w.account("Debtor", crm=other)
    w.crm.plugins.disable("club")
    later(w.clock, seconds=11)
    with pytest.raises(Refused):
        w.account("Debtor", crm=other)
    assert w.crm.plugins.disable("club", end_checks=True) == ["club"]
    later(w.clock, seconds=11)
    w.account("Debtor", crm=other)
    other.run_pending()
    assert done == []
    w.crm.plugins.enable("club")
    later(w.clock, seconds=11)
    with pytest.raises(Refused):
        w.account("Debtor", crm=other)
    other.run_pending()
    assert done == ["heard Debtor"]


@one
def test_it_stays_disabled_over_restarts_and_new_versions(w: World) -> None:
    w.crm.plugins.disable("club", reason="double points")
    again = w.beside(club([], "2.0"))
    again.migrate()
    with pytest.raises(Refused):
        w.account("Debtor", crm=again)
    (status,) = (p for p in again.plugins.list() if p.name == "club")
    assert (status.state, status.version, status.reason, status.loaded) == ("disabled", "2.0", "double points", True)
    assert [j.state for j in again.jobs.list() if j.version] == ["resting"]


@one
def test_what_requires_it_is_named_and_goes_only_with_it(open_world: Open) -> None:
    w = open_world(beside=True)
    with pytest.raises(Conflict) as needed:
        w.crm.plugins.disable("club")
    assert (needed.value.code, needed.value.params["by"]) == ("plugin_needed", ["visits"])
    assert w.crm.plugins.disable("club", with_dependents=True) == ["club", "visits"]
    with pytest.raises(Conflict) as off:
        w.crm.plugins.enable("visits")
    assert (off.value.code, off.value.params["needs"]) == ("plugin_needs_enabled", ["club"])
    assert w.crm.plugins.enable("club", with_dependents=True) == ["club", "visits"]
    assert w.crm.plugins.disable("visits") == ["visits"]
    assert w.crm.plugins.disable("club") == ["club"]


@one
def test_each_tenants_journal_says_it_once(w: World) -> None:
    w.account("A", "acme")
    w.crm.run_pending()
    w.crm.plugins.disable("club", reason="broken")
    assert w.crm.plugins.disable("club") == []
    assert w.crm.plugins.disable("club", end_checks=True) == ["club"]
    w.crm.plugins.enable("club")
    assert w.crm.plugins.enable("club") == []
    told = {"plugin": "club", "version": "1.0"}
    for tenant in ("main", "acme"):
        off = [("plugin_disabled", {**told, "checks_end": ended}) for ended in (False, True)]
        assert kinds(w.crm, tenant) == [*off, ("plugin_enabled", told)]
    assert w.crm.audit.verify().ok


@one
def test_wrong_names_and_reasons_change_nothing(w: World) -> None:
    for name, code in (("clubb", "plugin_absent"), ("core", "plugin_core"), ("", "plugin_absent"), ("a" * 99, "plugin_absent")):
        for verb in (w.crm.plugins.disable, w.crm.plugins.enable, w.crm.plugins.removal):
            with pytest.raises(Invalid) as wrong:
                verb(name)
            assert wrong.value.code == code
    for reason in ("line\nbreak", "x" * 256):
        with pytest.raises(Invalid):
            w.crm.plugins.disable("club", reason=reason)
    with pytest.raises(TypeError):
        w.crm.plugins.disable(7)  # type: ignore[arg-type]  # on purpose
    assert [p.state for p in w.crm.plugins.list() if p.name == "club"] == ["enabled"]
    assert kinds(w.crm) == []


def test_checks_on_others_records_end_only_where_that_is_said_and_come_back_by_themselves(w: World) -> None:
    assert w.crm.plugins.disable("club", end_checks=True) == ["club"]
    (status,) = (p for p in w.crm.plugins.list() if p.name == "club")
    assert status.state == "stopped"
    w.account("Debtor")
    assert w.crm.plugins.disable("club", end_checks=True) == []
    for verb in (w.crm.plugins.disable, w.crm.plugins.enable):
        assert verb("club") == ["club"]
        with pytest.raises(Refused):
            w.account("Debtor")
    with pytest.raises(TypeError):
        w.crm.plugins.disable("club", end_checks=1)  # type: ignore[arg-type]  # on purpose


def test_a_check_that_cannot_do_without_what_is_off_refuses(open_world: Open) -> None:
    guard = Plugin("guard", version="1.0", requires={"club": ">=1"})

    @guard.hook(check_write, on=Account)
    def asks(ctx: WriteCtx, changes: list[Any]) -> None:
        ctx.session.use(Cards)

    w = open_world()
    crm = w.beside(club([]), guard)
    crm.migrate()
    w.account("A", crm=crm)
    crm.plugins.disable("club", with_dependents=True)
    with pytest.raises(Unavailable) as off:
        w.account("B", crm=crm)
    assert off.value.code == "plugin_disabled"
    crm.plugins.disable("club", end_checks=True)  # what it rests on is gone: its own checks go as well
    w.account("B", crm=crm)


@one
def test_a_plan_says_what_ends_and_which_restrictions_stay(w: World) -> None:
    veto = "veto club.no_debts (check_write account)"
    kept, ended = w.crm.plugins.disabling("club"), w.crm.plugins.disabling("club", end_checks=True)
    assert kept.ends == [
        "hears account.created: club.hear", "job club.hourly", "action club.award", "panel club.panel", "route club.visited",
        "lifespan club.phone",
    ]  # fmt: skip
    assert kept.stays == [
        veto, "rule club.ours: read account", "read only club.member", "read only club.guest", "read only account.club",
    ]  # fmt: skip
    assert (ended.ends, ended.stays) == ([veto, *kept.ends], kept.stays[1:])


@one
def test_its_screens_and_files_are_gone_and_the_rest_stays(w: World) -> None:
    w.crm.plugins.disable("club")
    assert w.crm.screens(system())["assets"] == []
    assert w.crm.explain(system(), "read", Account, w.account("A").id).allowed
