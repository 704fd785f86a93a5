"""``crm.transact`` runs its work again as a whole after what another transaction caused, and after nothing else."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core import CRM, Account, Actor, Contact, Entity, Invalid, PluginFailed, Session, Unavailable, WriteCtx, check_write
from crm_core.hooks.plugin import Plugin
from crm_core.storage import sqlite
from tests.conftest import MakeCRM
from tests.threads import at_once

SYSTEM = Actor.system("test", tenant="main")


@pytest.fixture
def crm(make_crm: MakeCRM, monkeypatch: pytest.MonkeyPatch) -> Iterator[CRM]:
    """A CRM that waits for a lock no longer than 50 ms."""
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 50)
    monkeypatch.setitem(sqlite._SETTINGS, "busy_timeout", 50)
    made = make_crm()
    url = made.url if made.bound.kind == "sqlite" else f"{made.url}&options=-c%20lock_timeout%3D50"
    impatient = CRM(url)
    yield impatient
    impatient.close()


@contextmanager
def locked(crm: CRM) -> Iterator[Callable[[], None]]:
    """Hold a real lock in which nobody else can write contacts, until the function that is given is called."""
    if crm.bound.kind == "sqlite":
        raw = sqlite3.connect(str(crm.bound.engine.url.database), isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        yield raw.rollback
        raw.close()
        return
    engine = sa.create_engine(crm.url)
    with engine.connect() as connection:
        connection.exec_driver_sql("LOCK TABLE crm_contact IN EXCLUSIVE MODE")
        yield connection.rollback
    engine.dispose()


def counted(tries: list[str], record: Entity) -> Callable[[Session], Entity]:
    """Return work that creates a record and counts its tries."""

    def work(s: Session) -> Entity:
        tries.append("")
        return s.create(record)

    return work


def names(crm: CRM) -> tuple[list[str], list[str]]:
    with crm.session(SYSTEM, write=False) as s:
        return [a.name for a in s.query(Account).all()], [c.name for c in s.query(Contact).all()]


def written(crm: CRM) -> int:
    with crm.bound.begin(write=False) as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(crm.tables.system.journal)).scalar_one()


def test_work_that_meets_a_real_lock_twice_is_done_once(crm: CRM) -> None:
    tries: list[str] = []
    with locked(crm) as release:

        def work(s: Session) -> str:
            tries.append("")
            if len(tries) == 3:
                release()
            s.create(Account(name="Acme"))
            return str(s.create(Contact(name="Ann")).id)

        found = crm.transact(SYSTEM, work)
    assert len(tries) == 3
    assert names(crm) == (["Acme"], ["Ann"])
    with crm.session(SYSTEM) as s:
        assert s.get(Contact, found).name == "Ann"
    assert written(crm) == 2


def test_a_lock_that_stays_ends_after_as_many_tries_as_were_asked_for(crm: CRM) -> None:
    for retries in (0, 2):
        tries: list[str] = []
        with locked(crm) as release:
            with pytest.raises(Unavailable) as raised:
                crm.transact(SYSTEM, counted(tries, Contact(name="Ann")), retries=retries)
            release()
        assert raised.value.code == "database_locked"
        assert len(tries) == retries + 1
    assert names(crm) == ([], [])
    assert written(crm) == 0


def test_what_was_written_before_the_failure_is_not_written_twice(crm: CRM) -> None:
    """The third try is the one whose rows, journal and key are there."""
    tries: list[str] = []

    def work(s: Session) -> str:
        tries.append(s.create(Account(name=f"try {len(tries)}")).id)
        if len(tries) < 3:
            raise Unavailable("deadlock", retryable=True)
        return tries[-1]

    kept = crm.transact(SYSTEM, work)
    assert kept == tries[2]
    assert names(crm)[0] == ["try 2"]
    assert written(crm) == 1


def test_a_key_is_done_once_over_all_tries(crm: CRM) -> None:
    tries: list[str] = []

    def work(s: Session) -> str:
        made = s.create(Account(name="Acme"))
        tries.append(made.id)
        if len(tries) < 3:
            raise Unavailable("deadlock", retryable=True)
        return str(made.id)

    first = crm.transact(SYSTEM, work, idempotency_key="k")
    assert (len(tries), crm.transact(SYSTEM, work, idempotency_key="k")) == (3, first)
    assert names(crm)[0] == ["Acme"]
    outcome = crm.outcome("k")
    assert outcome is not None
    assert [call["call"] for call in outcome["calls"]] == ["create"]


@pytest.mark.parametrize("error", [Invalid("too_long"), Unavailable("disk_full"), ValueError("x")], ids=lambda e: type(e).__name__)
def test_what_would_fail_again_is_tried_once(crm: CRM, error: Exception) -> None:
    tries: list[str] = []

    def work(s: Session) -> None:
        tries.append(s.create(Account(name="Acme")).id)
        raise error

    with pytest.raises(type(error)):
        crm.transact(SYSTEM, work)
    assert len(tries) == 1
    assert names(crm)[0] == []


def test_a_wrong_value_is_tried_once(crm: CRM) -> None:
    tries: list[str] = []
    with pytest.raises(Invalid):
        crm.transact(SYSTEM, counted(tries, Account(name="")))
    assert len(tries) == 1


def test_a_lock_that_a_plugins_hook_meets_is_tried_again(make_crm: MakeCRM) -> None:
    plugin = Plugin("busy", version="1")
    tries: list[str] = []

    @plugin.hook(check_write, on=Account)
    def meet(ctx: WriteCtx, changes: list[Any]) -> None:
        tries.append("")
        if len(tries) < 3:
            raise sa.exc.OperationalError("x", {}, _busy())

    crm = make_crm(plugins=[plugin])
    crm.transact(SYSTEM, lambda s: s.create(Account(name="Acme")).id)
    assert len(tries) == 3
    assert names(crm)[0] == ["Acme"]
    tries.clear()
    with pytest.raises(PluginFailed):
        crm.transact(SYSTEM, lambda s: s.create(Account(name="Bolt")).id, retries=1)
    assert names(crm)[0] == ["Acme"]


def _busy() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def test_two_that_change_the_same_records_crosswise_both_succeed(make_crm: MakeCRM) -> None:
    """On PostgreSQL they deadlock at their first try; SQLite lets one writer in at a time."""
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        ids = [s.create(Account(name=f"a{n}")).id for n in range(2)]
    waits = crm.bound.kind == "postgresql"
    both = threading.Barrier(2)
    tries: list[int] = []

    def run(me: int) -> None:
        def work(s: Session) -> None:
            tries.append(me)
            s.update(Account, ids[me], {"industry": f"by {me}"})
            if waits and tries.count(me) == 1:
                both.wait(10)
            s.update(Account, ids[1 - me], {"website": f"by {me}"})

        crm.transact(SYSTEM, work)

    at_once(run, range(2))
    assert len(tries) == (3 if waits else 2)
    with crm.session(SYSTEM) as s:
        found = s.get_many(Account, ids)
    assert [(a.industry, a.website) for a in found] == [("by 0", "by 1"), ("by 1", "by 0")]
    assert [a.version for a in found] == [3, 3]
