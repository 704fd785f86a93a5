"""A process that only delivers asks the directory as seldom as one that answers requests: once a second a tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Account, Actor, Created, Event, FixedClock, Plugin, Runtime, Session, User
from crm_core.permissions.mirror import FRESH_SECONDS

EVENTS = 20
setup = Actor.system("setup", tenant="main")


class Staff:
    """Two people, and how often somebody asked for them."""

    def __init__(self) -> None:
        self.asked = 0
        self.boss = "1"

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterator[User]:
        self.asked += 1
        yield User("1", "Ann")
        yield User("2", "Bob", manager=self.boss)

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


def looking() -> Plugin:
    plugin = Plugin("acme.look", version="1.0.0")
    plugin.grants("account:read,update")

    @plugin.on(Created[Account])
    def look(s: Session, event: Event[Account]) -> None:
        """Look, and write where told to."""
        if s.get(Account, event.record).name == "Fail":
            raise ZeroDivisionError
        s.people["2"]

    return plugin


def worker_beside(crm: CRM, staff: Staff) -> CRM:
    return CRM(crm.url, plugins=[looking()], directory=staff, runtime=Runtime.seeded(2))


@pytest.mark.parametrize(("before", "names"), [(True, ["Fail"]), (False, []), (True, [])])
def test_a_batch_of_events_asks_once(make_crm: Callable[..., CRM], before: bool, names: list[str]) -> None:
    """Whether the tables have the people already or not, and where an event fails before the others."""
    staff = Staff()
    first = make_crm(plugins=[looking()], directory=Staff() if before else None, runtime=Runtime.seeded(1))
    with first.session(setup) as s:
        assert len(s.people) == (2 if before else 0)
        s.create_many([Account(name=name) for name in [*names, *["Acme"] * EVENTS]])
    worker = worker_beside(first, staff)
    try:
        assert worker.run_pending() == EVENTS
        assert staff.asked == 1
    finally:
        worker.close()


def test_people_that_were_undone_with_a_batch_are_written_again(make_crm: Callable[..., CRM]) -> None:
    """The first event writes them and fails: nothing of it stays, and the next one does not rely on it."""
    staff = Staff()
    first = make_crm(plugins=[looking()], runtime=Runtime.seeded(1))
    with first.session(setup) as s:
        s.create_many([Account(name="Fail"), *(Account(name="Acme") for _ in range(EVENTS))])
    worker = worker_beside(first, staff)
    member = worker.tables.system.member
    try:
        assert worker.run_pending() == EVENTS
        assert staff.asked == 2
        with worker.bound.begin(write=False) as connection:
            assert connection.execute(select(func.count()).select_from(member)).scalar_one() == 3  # Ann, Bob, and she above him
    finally:
        worker.close()


def test_what_a_host_takes_back_counts_for_nobody(make_crm: Callable[..., CRM]) -> None:
    staff = Staff()
    crm = make_crm(plugins=[looking()], directory=staff, runtime=Runtime.seeded(1))
    with pytest.raises(ZeroDivisionError), crm.bound.begin() as connection:
        for _ in range(3):
            with crm.session(setup, on=connection) as s:
                s.create(Account(name="Acme"))
                assert s.people["2"].manager == "1"
        raise ZeroDivisionError
    with crm.session(setup) as s:
        s.query(Account).count()
    with crm.bound.begin(write=False) as connection:
        assert connection.execute(select(func.count()).select_from(crm.tables.system.member)).scalar_one() == 3


def test_who_got_another_manager_has_them_after_a_second(make_crm: Callable[..., CRM]) -> None:
    clock = FixedClock(datetime(2026, 3, 2, 9, tzinfo=UTC))
    staff = Staff()
    first = make_crm(plugins=[looking()], runtime=Runtime.seeded(1))
    worker = CRM(first.url, plugins=[looking()], directory=staff, runtime=Runtime.seeded(2, clock=clock))
    member = worker.tables.system.member
    try:
        for boss, managers in (("1", {"1"}), ("2", set()), ("1", {"1"})):
            staff.boss = boss
            with first.session(setup) as s:
                s.create_many([Account(name="Acme") for _ in range(3)])
            worker.run_pending()
            with worker.bound.begin(write=False) as connection:
                found = connection.execute(select(member.c.ancestor).where(member.c.user_id == "2", member.c.depth == 1)).scalars()
                assert set(found) == managers
            clock.advance(timedelta(seconds=FRESH_SECONDS))
    finally:
        worker.close()
