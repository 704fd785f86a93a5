"""[R12] A quarantine outlives the process, is the tenant's whose data brought it about, and ends by hand or by a new version."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from crm_core import (
    CRM,
    Account,
    Actor,
    Created,
    FixedClock,
    Plugin,
    PluginFailed,
    Runtime,
    Session,
    Unavailable,
    before_write,
)
from crm_core.hooks.core_specs import Change, WriteCtx
from crm_core.hooks.health import SPREAD
from crm_core.quarantine import LOOK_AGAIN

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
AFTER = 3


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "crm_core")


@attrs.define
class Sick:
    """A plugin whose parts fail in some tenants."""

    hook: set[str] = attrs.Factory(set)
    told: set[str] = attrs.Factory(set)
    seen: list[str] = attrs.Factory(list)

    def made(self, version: str = "1") -> Plugin:
        plugin = Plugin("sick", version=version)
        plugin.grants("account:read")

        @plugin.hook(before_write, on=Account)
        def fill(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
            if ctx.session.actor.tenant in self.hook:
                raise KeyError
            for change in changes:
                change.record.industry = "filled"  # type: ignore[attr-defined]  # on=Account
            return changes

        @plugin.on(Created[Account])
        def hear(s: Session, event: Created[Account]) -> None:
            if s.actor.tenant in self.told:
                raise KeyError
            self.seen.append(event.new["name"])

        return plugin


def create(crm: Any, tenant: str, name: str = "a") -> str:
    with crm.session(Actor.system("test", tenant=tenant)) as s:
        return str(s.create(Account(name=name)).industry)


def fail(crm: Any, tenant: str, times: int = AFTER) -> None:
    for _ in range(times):
        with pytest.raises(PluginFailed):
            create(crm, tenant)


def state(crm: Any) -> tuple[bool, tuple[str, ...]]:
    (found,) = [h for h in crm.plugins_health() if h.plugin == "sick"]
    return found.since is not None, found.tenants


def deliver(crm: Any, clock: FixedClock, rounds: int = 12) -> None:
    for _ in range(rounds):
        crm.run_pending()
        clock.advance(timedelta(hours=2))


@pytest.fixture
def again() -> Iterator[Callable[..., CRM]]:
    """Open a CRM of the same database once more, as a new process would."""
    made: list[CRM] = []

    def make(crm: Any, plugin: Plugin, clock: FixedClock | None = None) -> CRM:
        runtime = Runtime.seeded(2, clock=clock) if clock else None
        made.append(CRM(crm.url, plugins=[plugin], quarantine_after=AFTER, runtime=runtime))
        return made[-1]

    yield make
    for crm in made:
        crm.close()


def test_a_quarantine_outlives_the_process_and_is_of_one_tenant(make_crm: Any, again: Any) -> None:
    sick = Sick(hook={"a"})
    crm = make_crm(plugins=[sick.made()], quarantine_after=AFTER)
    fail(crm, "a")
    assert state(crm) == (True, ("a",))
    new = again(crm, sick.made())
    assert (create(new, "a"), create(new, "b")) == ("None", "filled")
    assert state(new) == (True, ("a",))
    assert [h.function for h in new.plugins_health() if h.plugin == "sick"] == ["sick.fill"]


def test_what_failed_in_three_tenants_and_worked_in_none_rests_in_all(make_crm: Any, again: Any) -> None:
    tenants = [f"t{n}" for n in range(SPREAD)]
    sick = Sick(hook={*tenants})
    crm = make_crm(plugins=[sick.made()], quarantine_after=AFTER)
    for tenant in tenants:
        fail(crm, tenant)
    assert state(crm) == (True, ())
    assert create(crm, "healthy") == "None"
    assert create(again(crm, sick.made()), "healthy") == "None"


def test_what_works_in_other_tenants_meanwhile_rests_only_where_it_fails(make_crm: Any) -> None:
    tenants = [f"t{n}" for n in range(2 * SPREAD)]
    sick = Sick(hook={*tenants})
    crm = make_crm(plugins=[sick.made()], quarantine_after=AFTER)
    for tenant in tenants:
        fail(crm, tenant)
        assert create(crm, "healthy") == "filled"
    assert state(crm) == (True, tuple(tenants))


def test_another_process_ends_a_quarantine_for_all(make_crm: Any, again: Any) -> None:
    sick, clock = Sick(hook={"a"}), FixedClock(START)
    crm = make_crm(plugins=[sick.made()], quarantine_after=AFTER, runtime=Runtime.seeded(1, clock=clock))
    fail(crm, "a")
    sick.hook.clear()
    again(crm, sick.made()).release("sick")
    assert create(crm, "a") == "None"
    clock.advance(LOOK_AGAIN)
    assert create(crm, "a") == "filled"
    assert state(crm) == (False, ())


def test_another_process_learns_of_a_quarantine(make_crm: Any, again: Any) -> None:
    sick, clock = Sick(hook={"a"}), FixedClock(START)
    crm = make_crm(plugins=[sick.made()], quarantine_after=AFTER, runtime=Runtime.seeded(1, clock=clock))
    other = again(crm, sick.made(), clock)
    assert create(other, "b") == "filled"
    fail(crm, "a")
    clock.advance(LOOK_AGAIN)
    assert create(other, "a") == "None"


def test_a_new_version_of_the_plugin_is_not_in_quarantine(make_crm: Any, again: Any) -> None:
    sick = Sick(hook={"a"})
    crm = make_crm(plugins=[sick.made()], quarantine_after=AFTER)
    fail(crm, "a")
    sick.hook.clear()
    assert create(again(crm, sick.made("2")), "a") == "filled"
    assert create(again(crm, sick.made("1")), "a") == "filled", "the new version ended it for good"


def test_in_a_hosts_transaction_the_next_session_of_its_own_or_delivery_writes_it(make_crm: Any, again: Any) -> None:
    sick = Sick(hook={"a"})
    crm = make_crm(plugins=[sick.made()], quarantine_after=AFTER)
    with crm.bound.begin() as connection:
        for _ in range(AFTER):
            with pytest.raises(PluginFailed), crm.session(Actor.system("test", tenant="a"), on=connection) as s:
                s.create(Account(name="a"))
    assert state(again(crm, sick.made())) == (False, ())
    crm.run_pending()
    new = again(crm, sick.made())
    with new.bound.begin() as connection, new.session(Actor.system("test", tenant="a"), on=connection) as s:
        assert s.create(Account(name="a")).industry is None


@pytest.mark.parametrize("ended", ["released", "renewed"])
def test_events_of_a_tenant_wait_in_order_while_those_of_others_arrive(make_crm: Any, again: Any, ended: str) -> None:
    sick, clock = Sick(told={"a"}), FixedClock(START)
    crm = make_crm(plugins=[sick.made()], quarantine_after=AFTER, runtime=Runtime.seeded(1, clock=clock))
    crm.run_pending()
    for n in range(10):
        create(crm, "a", f"a{n}")
    deliver(crm, clock, 4)
    assert state(crm) == (True, ("a",))
    for n in range(10):
        create(crm, "b", f"b{n}")
        create(crm, "a", f"c{n}")
    deliver(crm, clock)
    assert sick.seen == [f"b{n}" for n in range(10)]
    assert {line.state for line in crm.delivery.parked()} == {"resting"}
    assert crm.delivery.next_try() is None
    sick.told.clear()
    new = again(crm, sick.made("2" if ended == "renewed" else "1"), clock)
    if ended == "released":
        new.release("sick")
    deliver(new, clock)
    assert sorted(sick.seen[10:]) == sorted(f"{c}{n}" for c in "ac" for n in range(10))
    assert new.delivery.parked() == []


def test_a_quarantine_that_cannot_be_written_now_is_written_later(make_crm: Any, again: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sick = Sick(hook={"a"})
    crm = make_crm(plugins=[sick.made()], quarantine_after=AFTER)
    fail(crm, "a", AFTER - 1)

    def full(*_: Any) -> int:
        raise Unavailable("database_full")

    with monkeypatch.context() as patch:
        patch.setattr(crm.quarantine, "_remove", full)
        fail(crm, "a", 1)
    assert create(crm, "a") == "None"
    assert create(again(crm, sick.made()), "a") == "None"
