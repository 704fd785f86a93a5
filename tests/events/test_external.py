"""Handlers that talk to the outside: no transaction is open, the key is stable, and failures park like any other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core.events.event import Created, Updated
from crm_core.hooks.plugin import Plugin
from crm_core.session import Session
from tests.events.boxes import Box, Effect
from tests.events.raw import RawHost
from tests.events.world import World

MakeWorld = Callable[..., World]
MakeHost = Callable[..., RawHost]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "crm_core.events.told")


def test_others_can_write_while_it_waits_for_the_outside(new_world: MakeWorld, plugin: Plugin) -> None:
    """On SQLite an open write transaction would lock everybody out."""
    inside: list[Any] = []

    @plugin.on(Created[Box], external=True)
    def call(s: Session, event: Created[Box]) -> None:
        if event.new["name"] == "a":
            inside.extend(w.boxes(["written meanwhile"]))
        s.create(Effect(event=event.id, box=event.record.id, what="called"))

    w = new_world(plugin)
    w.boxes(["a"])
    assert w.crm.run_pending() == 2
    assert len(inside) == 1
    assert [e.what for e in w.effects()] == ["called", "called"]


def test_others_can_write_while_it_waits_after_it_read(new_world: MakeWorld, plugin: Plugin) -> None:
    """What is read begins no transaction; the first write does."""
    seen: list[int] = []

    @plugin.on(Created[Box], external=True)
    def call(s: Session, event: Created[Box]) -> None:
        seen.append(s.query(Box).count())
        seen.append(sum(1 for _ in s.query(Box).stream(1)))
        if event.new["name"] == "a":
            w.boxes(["written meanwhile"])
            seen.append(s.query(Box).count())
        s.create(Effect(event=event.id, box=event.record.id, what="called"))
        assert s.get(Box, event.record).size == event.new["size"]

    w = new_world(plugin)
    w.boxes(["a"])
    assert w.crm.run_pending() == 2
    assert seen == [1, 1, 2, 2, 2]
    assert len(w.effects()) == 2


def test_a_failing_call_undoes_its_writes_parks_and_comes_again_with_its_key(new_world: MakeWorld, plugin: Plugin) -> None:
    keys: list[str] = []
    down = [True]

    @plugin.on(Created[Box], external=True)
    @plugin.on(Updated[Box], external=True)
    def call(s: Session, event: Any) -> None:
        keys.append(event.id)
        s.create(Effect(event=event.id, box=event.record.id, what="called"))
        if down:
            raise ConnectionError("the outside is away")

    w = new_world(plugin)
    (box, other) = w.boxes(["a", "b"])
    w.grow(box, 1)
    assert w.crm.run_pending() == 0
    assert len(keys) == 2, "what follows in a line is not tried before its head"
    assert {(line.record, line.behind) for line in w.crm.delivery.parked()} == {(box.id, 1), (other.id, 0)}
    assert w.effects() == []
    w.later(seconds=3)
    assert w.crm.run_pending() == 0
    down.clear()
    w.later(hours=1)
    assert w.crm.run_pending() == 3
    assert set(keys[:2]) == set(keys[2:4])
    assert sorted(keys[4:]) == sorted({*keys})
    assert len(w.effects(box)) == 2
    assert w.crm.delivery.parked() == []


def test_an_interrupt_ends_the_run_and_the_event_comes_again(new_host: MakeHost) -> None:
    interrupts = [KeyboardInterrupt]

    def call(session: Any, event: Any) -> None:
        if interrupts:
            raise interrupts.pop()
        session.effect(event)

    host = new_host({"box.call": call}, external=True)
    host.journal(host.records(2))
    with pytest.raises(KeyboardInterrupt):
        host.delivery().run_pending()
    with host.begin() as connection:
        connection.execute(sa.update(host.tables.system.subscription).values(until=None))  # as if the lease's time had passed
    assert host.delivery().run_pending() == 2
    assert host.effects() == host.expected()


def test_a_skipping_subscriber_leaves_out_what_failed_to_the_last(new_host: MakeHost) -> None:
    def call(session: Any, event: Any) -> None:
        if event.record.id == bad:
            raise ConnectionError
        session.effect(event)

    host = new_host({"box.call": call}, external=True, on_failure="skip")
    bad, good = host.records(2)
    host.journal([bad, good])
    delivery = host.delivery(tries=2)
    assert delivery.run_pending() == 1
    host.clock.advance(timedelta(hours=1))
    assert delivery.run_pending() == 0
    assert delivery.parked() == []
    assert set(host.effects()) == {good}


def test_a_limit_stops_early(new_host: MakeHost) -> None:
    host = new_host({"box.call": lambda s, e: s.effect(e)}, external=True)
    host.journal(host.records(5))
    delivery = host.delivery()
    assert [delivery.run_pending(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert host.effects() == host.expected()


def test_an_external_batch_handler_gets_lists_of_one(new_world: MakeWorld, plugin: Plugin) -> None:
    sizes: list[int] = []

    @plugin.on(Created[Box], external=True, batch=True)
    def call(s: Session, events: list[Created[Box]]) -> None:
        sizes.append(len(events))

    w = new_world(plugin)
    w.boxes(["a", "b"])
    assert w.crm.run_pending() == 2
    assert sizes == [1, 1]


def test_another_worker_waits_for_the_lease(new_host: MakeHost) -> None:
    done: list[int] = []

    def call(session: Any, event: Any) -> None:
        done.append(other.run_pending())
        session.effect(event)

    host = new_host({"box.call": call}, external=True)
    other = host.delivery()
    host.journal(host.records(2))
    assert host.delivery().run_pending() == 2
    assert done == [0, 0]
    assert host.effects() == host.expected()


def test_a_line_that_an_operator_gives_up_meanwhile_stays_given_up(new_host: MakeHost) -> None:
    decisions: list[Any] = []

    def call(session: Any, event: Any) -> None:
        if decisions:
            decisions.pop()()
        raise ConnectionError

    host = new_host({"box.call": call}, external=True)
    (record,) = host.records(1)
    host.journal([record, record])
    delivery = host.delivery()
    delivery.run_pending()
    host.clock.advance(timedelta(hours=1))
    decisions.append(lambda: delivery.discard("box.call", record))
    delivery.run_pending()
    assert delivery.parked() == []
