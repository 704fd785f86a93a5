"""[C73] A denied call is undone and leaves one thing: a row of the journal that says who was refused what [S6]."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Contact, Denied, Note, NotFound, Plugin, Role, Session, owner
from crm_core.events.journal import Entry, read
from crm_core.io import export
from crm_core.runtime import FixedClock, Runtime
from crm_core.storage.denials import BURST
from tests.conftest import MakeCRM

SYSTEM = Actor.system("setup", tenant="main")
CLERK = Actor("7", roles={"clerk"})
ROLES = [
    Role("clerk").allow(Account, "read").allow(Account, "update", where=owner).allow(Contact, "read", where=owner).allow(Note, "create")
]
plugin = Plugin("desk", version="1.0")
plugin.grants("account:read")


@plugin.service
class Desk:
    """Does what its user may, and more."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def rename(self, account: Account) -> None:
        """Rename an account with grants that are not there."""
        with self._session.elevated("tidy up") as s:
            s.update(Account, account.id, {"name": "x"})

    def refuse(self) -> None:
        """Refuse by itself."""
        raise Denied(action="desk.open", entity="account")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 3, 2, 9, tzinfo=UTC))


@pytest.fixture
def crm(make_crm: MakeCRM, clock: FixedClock) -> Any:
    return make_crm(plugins=[plugin], roles=ROLES, runtime=Runtime.seeded(1, clock=clock))


@pytest.fixture
def acme(crm: CRM) -> Account:
    with crm.session(SYSTEM) as s:
        return s.create(Account(name="Acme", owner="9"))


def denials(crm: CRM) -> list[Entry]:
    crm.audit.seal()
    assert crm.audit.verify().ok
    with crm.bound.begin(write=False) as connection:
        return [e for e in read(connection, crm.tables, limit=10_000) if e.kind == "core.denied.v1"]


def told(crm: CRM) -> Counter[tuple[str, ...]]:
    return Counter({(e.actor, e.entity, *(e.payload[n] for n in ("call", "code", "action"))): e.payload["count"] for e in denials(crm)})


UPDATE = ("7", "account", "update", "denied", "update")


def test_who_was_refused_what_stays_when_all_else_is_undone(crm: CRM, acme: Account) -> None:
    with pytest.raises(Denied), crm.session(CLERK, reason="by phone", request="r-1") as s:
        s.create(Note(body="secret"))
        s.update(Account, acme.id, {"name": "secret"})
    (entry,) = denials(crm)
    assert (entry.tenant, entry.actor, entry.reason, entry.request) == ("main", "7", "by phone", "r-1")
    payload = {k: v for k, v in entry.payload.items() if k != "id"}
    assert payload == {"call": "update", "code": "denied", "action": "update", "count": 1}
    with crm.session(SYSTEM) as s:
        assert s.query(Note).count() == 0


def test_a_session_that_goes_on_keeps_its_work_and_tells_of_what_it_was_denied(crm: CRM, acme: Account, tmp_path: Any) -> None:
    with crm.session(CLERK) as s:
        for _ in range(3):
            with pytest.raises(Denied):
                s.update(Account, acme.id, {"name": "x"})
        with pytest.raises(Denied):
            s.delete(acme)
        with pytest.raises(Denied):
            export(s, s.query(Account), tmp_path / "x.csv")
        with pytest.raises(Denied):
            s.elevated("because")
        s.create(Note(body="kept"))
        done = s.create_many([Account(name="x"), Account(name="y")], on_error="collect")
        assert len(done.failed) == 2
    assert told(crm) == {
        UPDATE: 3,
        ("7", "account", "delete", "denied", "delete"): 1,
        ("7", "account", "export", "denied", "export"): 1,
        ("7", "core", "elevated", "elevated_outside_plugin", ""): 1,
        ("7", "account", "create", "denied", "create"): 2,
    }
    with crm.session(SYSTEM) as s:
        assert s.query(Note).count() == 1


def test_a_plugin_is_named_with_whom_it_worked_for(crm: CRM, acme: Account) -> None:
    for call in ("rename", "refuse"):
        with pytest.raises(Denied), crm.session(CLERK) as s:
            desk = s.use(Desk)
            desk.rename(acme) if call == "rename" else desk.refuse()
    found = [(e.actor, e.on_behalf_of, e.plugin, e.payload["action"]) for e in denials(crm)]
    assert found == [("plugin:desk", "7", "desk", "update"), ("7", None, "", "desk.open")]


def test_hidden_and_unknown_records_leave_nothing(crm: CRM) -> None:
    """A row would tell them apart: of what is not there for somebody, nothing is denied."""
    with crm.session(SYSTEM) as s:
        hidden = s.create(Contact(name="Ann", owner="9"))
    for id in (hidden.id, "00000000-0000-7000-8000-000000000000"):
        with pytest.raises(NotFound), crm.session(CLERK) as s:
            s.update(Contact, id, {"name": "x"})
    assert denials(crm) == []


def test_a_loop_of_denied_calls_writes_few_rows_and_counts_all(crm: CRM, acme: Account, clock: FixedClock) -> None:
    def denied() -> None:
        with pytest.raises(Denied), crm.session(CLERK) as s:
            s.update(Account, acme.id, {"name": "x"})

    for _ in range(100):
        denied()
    assert len(denials(crm)) == BURST
    with crm.session(Actor("8", roles={"clerk"})) as s, pytest.raises(Denied):
        s.update(Account, acme.id, {"name": "x"})
    assert len(denials(crm)) == BURST + 1, "one who is denied all the time hides nobody else"
    clock.advance(timedelta(seconds=1))
    with crm.session(SYSTEM) as s:
        s.query(Account).count()
    found = denials(crm)
    assert len(found) == BURST + 2
    assert sum(e.payload["count"] for e in found) == 101


class _Undo(Exception):
    """Ends the host's transaction."""


@pytest.mark.parametrize("host_commits", [True, False])
def test_in_a_hosts_transaction_it_is_the_hosts(crm: CRM, acme: Account, host_commits: bool) -> None:
    with suppress(_Undo), crm.bound.begin() as host:
        with pytest.raises(Denied), crm.session(CLERK, on=host) as s:
            s.create(Note(body="undone"))
            s.update(Account, acme.id, {"name": "x"})
        with pytest.raises(Denied), crm.session(CLERK, on=host) as s:
            s.use(Desk).refuse()
        if not host_commits:
            raise _Undo
    assert [e.payload["action"] for e in denials(crm)] == (["update", "desk.open"] if host_commits else [])
    with crm.session(SYSTEM) as s:
        assert s.query(Note).count() == 0


def test_a_reading_session_tells_of_it_too_and_waits_for_no_session_around_it(crm: CRM, acme: Account, tmp_path: Any) -> None:
    """SQLite has one writer: the session around may be it."""
    started = time.monotonic()
    with crm.session(SYSTEM) as outer:
        outer.create(Note(body="holds the write lock"))
        with crm.session(CLERK, write=False) as s, pytest.raises(Denied):
            export(s, s.query(Account), tmp_path / "x.csv")
    assert time.monotonic() - started < 10
    assert told(crm) == {("7", "account", "export", "denied", "export"): 1}
    with crm.session(CLERK, write=False) as s, pytest.raises(Denied):
        export(s, s.query(Account), tmp_path / "x.csv")
    assert len(denials(crm)) == 2


def test_it_takes_its_turn_among_writers(crm: CRM, acme: Account) -> None:
    held, go = threading.Event(), threading.Event()

    def write() -> None:
        with crm.session(SYSTEM) as s:
            s.create(Note(body="slow"))
            held.set()
            go.wait(20)

    def denied() -> None:
        with pytest.raises(Denied), crm.session(Actor("nobody"), write=False) as s:
            export(s, s.query(Account), "x.csv")

    writer, other = threading.Thread(target=write), threading.Thread(target=denied)
    writer.start()
    assert held.wait(20)
    other.start()
    time.sleep(0.05)
    go.set()
    writer.join(20)
    other.join(20)
    assert told(crm) == {("nobody", "account", "export", "denied", "export"): 1}


def test_what_cannot_be_written_now_is_written_later_and_hides_no_error(crm: CRM, acme: Account, monkeypatch: Any) -> None:
    from crm_core import Unavailable
    from crm_core.storage.denials import DenialLog

    journal = DenialLog._journal

    def full(*_: Any) -> None:
        raise Unavailable("disk_full")

    monkeypatch.setattr(DenialLog, "_journal", full)
    with pytest.raises(Denied), crm.session(CLERK) as s:
        s.update(Account, acme.id, {"name": "x"})
    monkeypatch.setattr(DenialLog, "_journal", journal)
    with crm.session(SYSTEM) as s:
        s.query(Account).count()
    assert told(crm) == {UPDATE: 1}
