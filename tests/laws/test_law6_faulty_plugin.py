"""Law 6: a plugin that keeps failing is put into quarantine; the host goes on, what protects stays in force, and no event is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from crm_core import (
    Account,
    Actor,
    Contact,
    Created,
    CRMError,
    Denied,
    Entity,
    Field,
    FixedClock,
    LoadError,
    NotReadable,
    Plugin,
    PluginFailed,
    Refused,
    Role,
    Runtime,
    Session,
    after_write,
    before_write,
    check_write,
    field,
)
from crm_core.hooks.core_specs import Change, WriteCtx
from crm_core.hooks.health import QUARANTINE_AFTER
from crm_core.rules import F

SYSTEM = Actor.system("test", tenant="main")
ANN = Actor("ann", roles={"acme.clerk"})
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
MakeCRM = Callable[..., Any]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "crm_core")


@attrs.define
class Acme:
    """A plugin of every kind of part, which fails while *broken* names its parts."""

    broken: set[str] = attrs.Factory(set)
    seen: list[str] = attrs.Factory(list)
    plugin: Plugin = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.plugin = plugin = Plugin("acme", version="1.0")
        plugin.grants("account:read", "contact:read")
        plugin.role(
            Role("acme.clerk")
            .allow(Account, "read", "create", "update", fields={"website": "none"})
            .restrict(Account, "read", "update", where=~(F("industry") == "secret"))
        )

        @plugin.hook(before_write, on=Account)
        def tidy(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
            self.perhaps_fail("tidy")
            for change in changes:
                change.record.name = change.record.name.strip()  # type: ignore[attr-defined]  # on=Account
            return changes

        @plugin.hook(check_write, on=Account)
        def no_crooks(ctx: WriteCtx, changes: list[Change]) -> None:
            for change in changes:
                if change.record.name == "Crook":  # type: ignore[attr-defined]  # on=Account
                    ctx.refuse(change, "acme.no_crooks")

        @plugin.hook(after_write, on=Account)
        def greet(ctx: WriteCtx, changes: list[Change]) -> None:
            self.perhaps_fail("greet")

        @plugin.on(Created[Account])
        def follow(s: Session, event: Created[Account]) -> None:
            self.perhaps_fail("follow")
            self.seen.append(event.new["name"])

        @plugin.on(Created[Contact], batch=True)
        def count(s: Session, events: list[Created[Contact]]) -> None:
            self.perhaps_fail("count")
            self.seen.extend(str(e.new["name"]) for e in events)

        @plugin.on(Created[Contact], external=True)
        def call(s: Session, event: Created[Contact]) -> None:
            self.perhaps_fail("call")
            self.seen.append(f"called {event.new['name']}")

    def perhaps_fail(self, part: str) -> None:
        if part in self.broken:
            raise ZeroDivisionError(part)


def create(crm: Any, *names: str, actor: Actor = SYSTEM) -> list[Account]:
    with crm.session(actor) as s:
        return [s.create(Account(name=name)) for name in names]


def fail(crm: Any, times: int) -> None:
    for _ in range(times):
        with pytest.raises(PluginFailed):
            create(crm, "lost")


def deliver(crm: Any, clock: FixedClock, rounds: int = 40) -> None:
    """Deliver, with time enough in between for every try of what is parked."""
    for _ in range(rounds):
        crm.run_pending()
        clock.advance(timedelta(hours=2))


def accounts(crm: Any) -> list[str]:
    with crm.session(SYSTEM, write=False) as s:
        return sorted(a.name for a in s.query(Account).all())


@pytest.mark.parametrize("part", ["tidy", "greet"])
def test_the_host_works_again_when_the_hooks_of_a_broken_plugin_rest(make_crm: MakeCRM, part: str) -> None:
    acme = Acme({part})
    crm = make_crm(plugins=[acme.plugin])
    fail(crm, QUARANTINE_AFTER)
    create(crm, " raw ")
    assert accounts(crm) == [" raw "], "nothing of the calls that failed, and no filter on the one that did not"
    (found,) = crm.plugins_health()
    assert (found.plugin, found.function, found.failures, found.reason) == ("acme", f"acme.{part}", QUARANTINE_AFTER, "ZeroDivisionError")
    acme.broken.clear()
    crm.release("acme")
    create(crm, " tidied ")
    assert accounts(crm) == [" raw ", "tidied"]
    assert crm.plugins_health()[0].since is None


def test_what_a_plugins_own_records_are_made_of_never_rests(make_crm: MakeCRM) -> None:
    """Else a deal would be won without its status, its history and its event, and nobody would hear of it."""
    plugin, broken = Plugin("acme", version="1"), [True]

    class Claim(Entity):
        name: Field[str]
        state: Field[str] = field(default="")

    plugin.entities(Claim)

    @plugin.hook(before_write, on=Claim)
    def enter(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        for change in changes:
            if broken:
                raise ZeroDivisionError
            change.record.state = "entered"  # type: ignore[attr-defined]  # on=Claim
        return changes

    crm = make_crm(plugins=[plugin])
    for tenant in ["a"] * (QUARANTINE_AFTER + 5) + ["b"]:
        with pytest.raises(PluginFailed, match="acme"), crm.session(Actor.system("test", tenant=tenant)) as s:
            s.create(Claim(name="lost"))
    broken.clear()
    with crm.session(Actor.system("test", tenant="b")) as s:
        s.create(Claim(name="kept"))
        assert [(c.name, c.state) for c in s.query(Claim).all()] == [("kept", "entered")]


def test_vetoes_restrictions_and_field_policies_of_a_plugin_in_quarantine_stay_in_force(make_crm: MakeCRM) -> None:
    crm = make_crm(plugins=[Acme({"greet"}).plugin])
    fail(crm, QUARANTINE_AFTER)
    with crm.session(SYSTEM) as s:
        hidden = s.create(Account(name="Hidden", industry="secret"))
        shown = s.create(Account(name="Shown", website="shown.example"))
    with pytest.raises(Refused), crm.session(SYSTEM) as s:
        s.create(Account(name="Crook"))
    with crm.session(ANN) as s:
        assert s.find(Account, hidden.id) is None
        with pytest.raises(NotReadable):
            _ = s.get(Account, shown.id).website
        with pytest.raises(Denied):
            s.update(Account, shown.id, {"industry": "secret"})
    assert accounts(crm) == ["Hidden", "Shown"]


@pytest.mark.parametrize("part", ["follow", "count"])
def test_events_of_a_plugin_in_quarantine_wait_and_each_arrives_once_it_is_released(make_crm: MakeCRM, part: str) -> None:
    clock = FixedClock(START)
    acme = Acme({part})
    crm = make_crm(plugins=[acme.plugin], runtime=Runtime.seeded(6, clock=clock))
    crm.run_pending()
    with crm.session(SYSTEM) as s:
        s.create_many([Account(name=f"a{n}") for n in range(60)])
        s.create_many([Contact(name=f"c{n}") for n in range(60)])
    deliver(crm, clock)
    assert crm.plugins_health()[0].since is not None
    tried = list(acme.seen)
    with crm.session(SYSTEM) as s:
        s.create_many([Account(name=f"b{n}") for n in range(60)])
        s.create_many([Contact(name=f"d{n}") for n in range(60)])
    deliver(crm, clock)
    assert acme.seen == tried, "all its subscribers rest, also those that work"
    assert crm.delivery.next_try() is None, "a worker does not wake for what rests"
    assert {line.state for line in crm.delivery.parked()} <= {"resting"}, "no event uses up its tries meanwhile"
    acme.broken.clear()
    crm.release("acme")
    deliver(crm, clock)
    names = [f"{prefix}{n}" for prefix in "abcd" for n in range(60)]
    assert sorted(acme.seen) == sorted([*names, *(f"called {n}" for n in names if n[0] in "cd")])
    assert crm.delivery.parked() == []


def test_a_broken_partner_of_an_external_handler_is_not_the_plugin_s_failure(make_crm: MakeCRM) -> None:
    clock = FixedClock(START)
    acme = Acme({"call"})
    crm = make_crm(plugins=[acme.plugin], runtime=Runtime.seeded(6, clock=clock))
    crm.run_pending()
    with crm.session(SYSTEM) as s:
        s.create_many([Contact(name=f"c{n}") for n in range(2 * QUARANTINE_AFTER)])
    crm.run_pending()
    assert crm.plugins_health()[0].since is None
    assert len(crm.delivery.parked()) == 2 * QUARANTINE_AFTER


@pytest.mark.parametrize("seed", range(4))
def test_whatever_fails_when_no_event_is_lost_or_doubled(make_crm: MakeCRM, seed: int) -> None:
    chance = random.Random(seed)  # a test's program
    clock = FixedClock(START)
    acme = Acme()
    crm = make_crm(plugins=[acme.plugin], runtime=Runtime.seeded(seed, clock=clock), quarantine_after=chance.choice([1, 2, 5]))
    crm.run_pending()
    written = []
    for n in range(60):
        acme.broken ^= {chance.choice(["tidy", "greet", "follow", "count", "call"])}
        match chance.randrange(4):
            case 0:
                crm.run_pending(limit=chance.choice([1, 3, None]))
            case 1:
                crm.release("acme")
            case _:
                entity = chance.choice([Account, Contact])
                try:
                    with crm.session(SYSTEM) as s:
                        s.create(entity(name=f"{n}"))
                except CRMError:
                    continue
                written.append((entity, f"{n}"))
    acme.broken.clear()
    crm.release("acme")
    deliver(crm, clock)
    expected = [name for _, name in written] + [f"called {name}" for entity, name in written if entity is Contact]
    assert sorted(acme.seen) == sorted(expected)


def test_a_quarantine_is_of_one_crm_alone(make_crm: MakeCRM) -> None:
    acme = Acme({"greet"})
    one, two = make_crm(plugins=[acme.plugin]), make_crm(plugins=[acme.plugin])
    fail(one, QUARANTINE_AFTER)
    assert [crm.plugins_health()[0].since is not None for crm in (one, two)] == [True, False]
    fail(two, 1)


def test_a_host_may_choose_the_number_or_that_nothing_rests(make_crm: MakeCRM) -> None:
    strict = make_crm(plugins=[Acme({"greet"}).plugin], quarantine_after=1)
    fail(strict, 1)
    assert [account.name for account in create(strict, "one")] == ["one"]
    patient = make_crm(plugins=[Acme({"greet"}).plugin], quarantine_after=None)
    fail(patient, 2 * QUARANTINE_AFTER)
    assert [crm.plugins_health()[0].since is not None for crm in (strict, patient)] == [True, False]
    assert (accounts(strict), accounts(patient)) == (["one"], [])


def test_the_quarantine_is_logged_once_with_the_plugin_s_name(make_crm: MakeCRM, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", "crm_core.hooks.health")
    crm = make_crm(plugins=[Acme({"greet"}).plugin])
    fail(crm, QUARANTINE_AFTER)
    create(crm, "one", "two")
    assert [r.getMessage() for r in caplog.records] == ["acme is quarantined in tenant 'main': acme.greet failed 20 times in a row"]


def test_a_plugin_that_is_not_there_cannot_be_released(make_crm: MakeCRM) -> None:
    with pytest.raises(LoadError) as caught:
        make_crm(plugins=[Acme().plugin]).release("acmee")
    assert caught.value.code == "plugin_unknown"
