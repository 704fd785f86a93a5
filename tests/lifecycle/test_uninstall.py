"""A plugin goes: what it had, what stays, what is refused, and that all of it is done or nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, inspect, text

from crm_core import CRM, Account, Conflict, CRMError, CustomField, CustomKind, FileKeys, Invalid, Unavailable
from crm_core.backup import backup, drill, restore
from crm_core.doctor import examine
from tests.lifecycle.club import Cards, Member, Perks, Settings, Visit, club, kinds, system
from tests.lifecycle.conftest import Open, World, one
from tests.threads import at_once


def filled(w: World) -> World:
    """Give the club something of everything, in two tenants."""
    for tenant in ("main", "acme"):
        account = w.account(f"A {tenant}", tenant)
        member = w.member(account, "A-1", tenant)
        with w.crm.session(system(tenant)) as s:
            account[Perks].champion = member.ref
            account[Perks].points = 5
            s.save(account)
            s.change_settings(Settings, {"greeting": tenant})
            s.create(CustomField(entity="club.member", name="size", kind=CustomKind.TEXT, label={"en": "Size"}))
        with w.crm.session(system(tenant)) as s:
            s.update(Member, member.id, {"custom.size": "XL"}, version=s.get(Member, member.id).version)
    w.crm.run_pending()
    return w


def places(crm: CRM) -> dict[str, set[str]]:
    """Return the columns of every table in the database."""
    found = inspect(crm.bound.synchronous().engine)
    return {name: {c["name"] for c in found.get_columns(name)} for name in found.get_table_names() if name != "crm_journal"}


def residue(crm: CRM) -> list[str]:
    """Name the tables and columns in which the club's name is, and the core's rows about it; the journal aside."""
    found = [f"{t}.{c}" for t, columns in places(crm).items() for c in columns if "club" in t or c.startswith("club")]
    with crm.bound.begin(write=False) as connection:
        for name, table in crm.tables.system.by_name().items():
            if name in ("journal", "role"):
                continue
            rows = connection.execute(table.select()).all()
            found += [f"{name}: {row}" for row in rows if any(isinstance(v, str) and v.startswith("club") for v in row)]
    return found


@one
def test_what_it_has_is_counted(w: World) -> None:
    filled(w)
    found = w.crm.plugins.removal("club")
    assert found.rows == {"crm_club_guest": 0, "crm_club_member": 2, "crm_club_member_mails": 2}
    assert found.columns["crm_account.club_champion"] == 2
    assert {name: found.others[name] for name in ("setting", "custom_field", "subscription")} == {
        "setting": 2, "custom_field": 2, "subscription": 1,
    }  # fmt: skip


@pytest.mark.parametrize("code_is_there", [True, False], ids=["code", "no code"])
def test_dropped_nothing_of_it_is_left_but_its_history(w: World, code_is_there: bool) -> None:
    filled(w)
    crm = w.crm if code_is_there else w.beside()
    removal = crm.plugins.uninstall("club", keep_data=False, reason="moved")
    if code_is_there:
        with crm.session(system()) as s, pytest.raises(Unavailable):
            s.use(Cards)
    assert sum(removal.rows.values()) == 4
    plain = w.beside()
    assert residue(plain) == []
    assert plain.plugins.list() == []
    plain.migrations.check()
    with plain.session(system("acme")) as s:
        (account,) = s.query(Account).all()
        s.update(Account, account.id, {"name": "B"}, version=account.version)
    told = {"plugin": "club", "version": "1.0", "kept": False}
    for tenant in ("main", "acme"):
        (kind, payload) = kinds(plain, tenant)[-1]
        rows = payload.pop("rows")
        assert (kind, payload) == ("plugin_uninstalled", told)
        assert (rows["crm_club_member"], rows["setting"], rows["custom_field"]) == (1, 1, 1)  # of this tenant alone
    plain.run_pending()
    assert plain.audit.verify().ok
    with plain.bound.begin(write=False) as connection:
        journal = plain.tables.system.journal
        assert connection.execute(journal.select().where(journal.c.entity == "club.member")).first() is not None


@one
def test_a_dropped_plugin_comes_back_empty(w: World) -> None:
    filled(w)
    w.crm.plugins.uninstall("club", keep_data=False)
    again = w.beside(club(w.done))
    assert again.plugins.install("club")
    with again.session(system()) as s:
        assert s.query(Member).count() == 0
        assert [a[Perks].points for a in s.query(Account).all()] == [0]
        s.create(Member(account=s.query(Account).one().ref, number="A-1"))
    assert again.plugins.removal("club").others.get("setting", 0) == 0


@one
def test_kept_data_is_marked_and_the_doctor_tells_of_it(w: World) -> None:
    filled(w)
    before = places(w.crm)
    w.crm.plugins.uninstall("club", keep_data=True)
    plain = w.beside()
    assert places(plain) == before
    (told,) = (f for f in examine(plain) if f.code == "doctor_data_without_plugin")
    assert (told.level, told.params["plugin"], told.params["tables"], told.params["rows"]) == ("ok", "club", 3, 4)
    (told,) = (f for f in examine(w.crm) if f.code == "doctor_uninstalled")
    assert told.level == "warning"
    (status,) = (p for p in plain.plugins.list() if p.name == "club")
    assert (status.state, status.loaded) == ("uninstalled", False)
    with pytest.raises(Conflict) as gone:
        plain.plugins.enable("club")
    assert gone.value.code == "plugin_uninstalled"
    plain.plugins.uninstall("club", keep_data=False)
    assert residue(w.beside()) == []


def test_backups_hold_the_state_of_plugins_and_are_made_without_what_was_kept(w: World, tmp_path: Path) -> None:
    filled(w)
    w.crm.plugins.disable("club", reason="broken")
    key = FileKeys.create(tmp_path / "key")
    backup(w.crm, tmp_path / "disabled.crm", key)
    target = CRM(f"sqlite:///{tmp_path}/target.db", plugins=[club([])])
    restore(target, tmp_path / "disabled.crm", key)
    assert [(p.state, p.reason) for p in target.plugins.list() if p.name == "club"] == [("disabled", "broken")]
    target.plugins.uninstall("club", keep_data=False)
    assert target.audit.verify().ok
    target.close()
    w.crm.plugins.uninstall("club", keep_data=True)
    plain = w.beside()
    backup(plain, tmp_path / "plain.crm", key)
    assert drill(plain, tmp_path / "plain.crm", key).rows > 0


@one
def test_it_is_refused_while_another_requires_it(open_world: Open) -> None:
    w = open_world(beside=True)
    for keep in (True, False):
        with pytest.raises(Conflict) as needed:
            w.beside().plugins.uninstall("club", keep_data=keep)
        assert (needed.value.code, needed.value.params["by"]) == ("plugin_needed", ["visits"])


def test_it_is_refused_while_rows_of_others_point_at_its_own(open_world: Open) -> None:
    w = open_world(beside=True)
    member = w.member(w.account("A"), "A-1")
    with w.crm.session(system()) as s:
        s.create(Visit(member=member.ref))
    w.crm.plugins.uninstall("visits", keep_data=True)
    before = places(w.crm)
    with pytest.raises(Conflict) as pointed:
        w.crm.plugins.uninstall("club", keep_data=False)
    assert pointed.value.code == "plugin_referenced"
    assert pointed.value.params["by"] == ["crm_visits_visit.member (1)"]
    assert places(w.crm) == before
    w.crm.plugins.uninstall("visits", keep_data=False)
    w.crm.plugins.uninstall("club", keep_data=False)
    assert residue(w.beside()) == []


def test_a_table_of_the_hosts_that_points_at_it_is_named(w: World) -> None:
    id_type = "VARCHAR(36)" if w.crm.bound.kind == "sqlite" else "UUID"
    with w.crm.bound.begin() as connection:
        connection.execute(text(f"CREATE TABLE shop_card (id INTEGER PRIMARY KEY, member {id_type} REFERENCES crm_club_member (id))"))
    with pytest.raises(Conflict) as pointed:
        w.crm.plugins.uninstall("club", keep_data=False)
    assert pointed.value.params["by"] == ["shop_card.member (0)"]


class Crash(BaseException):
    """The call ends."""


@pytest.mark.parametrize("at", ["DROP TABLE", "DELETE FROM crm_plugin"])
def test_where_it_fails_in_the_middle_all_is_as_it_was(w: World, at: str) -> None:
    filled(w)
    plain = w.beside()
    before, counts = places(plain), plain.plugins.removal("club")

    @event.listens_for(plain.bound.engine, "before_cursor_execute")
    def crash(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if at in statement:
            raise Crash

    with pytest.raises(Crash):
        plain.plugins.uninstall("club", keep_data=False)
    event.remove(plain.bound.engine, "before_cursor_execute", crash)
    fresh = w.beside()
    assert places(fresh) == before
    assert fresh.plugins.removal("club") == counts
    assert kinds(fresh) == []


DIES = """
import os, sys
from sqlalchemy import event
from crm_core import CRM
crm = CRM(sys.argv[1])
event.listen(crm.bound.engine, "commit", lambda connection: os._exit(86))
crm.plugins.uninstall("club", keep_data=False)
"""


def test_after_a_process_died_at_its_commit_the_next_one_does_it(w: World) -> None:
    filled(w)
    before, counts = places(w.crm), w.crm.plugins.removal("club")
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", DIES, w.crm.url], check=False).returncode == 86
    assert places(w.crm) == before
    plain = w.beside()
    assert plain.plugins.removal("club") == counts
    assert kinds(plain) == []
    plain.plugins.uninstall("club", keep_data=False)
    assert residue(w.beside()) == []


def test_of_two_who_uninstall_at_once_one_does(w: World) -> None:
    filled(w)

    def work(crm: CRM) -> str:
        try:
            crm.plugins.uninstall("club", keep_data=False)
        except CRMError as e:
            return e.code
        return "done"

    ends = at_once(work, [w.beside() for _ in range(2)])
    assert sorted(ends) == ["done", "plugin_absent"]


@one
def test_what_becomes_of_the_data_must_be_said(w: World) -> None:
    with pytest.raises(TypeError):
        w.crm.plugins.uninstall("club")  # type: ignore[call-arg]  # on purpose
    with pytest.raises(TypeError):
        w.crm.plugins.uninstall("club", keep_data=None)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(Invalid):
        w.crm.plugins.uninstall("club", keep_data=False, reason="a\nb")
    assert [p.state for p in w.crm.plugins.list() if p.name == "club"] == ["enabled"]


@one
def test_names_that_begin_alike_are_left_alone(w: World) -> None:
    from crm_core import Plugin, Session

    eu, heard = Plugin("club.eu", version="1.0"), []

    @eu.job(every="0 0 * * *")
    def nightly(s: Session) -> None:
        heard.append(1)

    crm = w.beside(club([]), eu)
    crm.migrate()
    crm.jobs.run("club.eu.nightly")
    crm.jobs.run("club.hourly")
    w.beside(eu).plugins.uninstall("club", keep_data=False)
    assert [r.job for r in crm.jobs.runs()] == ["club.eu.nightly"]
    assert [p.name for p in w.beside(eu).plugins.list()] == ["club.eu"]
