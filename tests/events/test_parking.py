"""Parked lines: tried again with growing pauses, held after the last try, and what an operator can do about one."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import NotFound
from crm_core.events.event import Created, Updated
from crm_core.events.journal import at_positions
from crm_core.events.parking import Retry
from crm_core.hooks.plugin import Plugin
from crm_core.session import Session
from tests.events.boxes import START, Box, Effect
from tests.events.raw import RawHost
from tests.events.world import ADMIN, World, recorder

MakeWorld = Callable[..., World]
MakeHost = Callable[..., RawHost]
NAME = "box.record"


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "crm_core.events.told")


@given(st.integers(1, 2000), st.integers())
def test_pauses_double_up_to_the_cap_and_chance_takes_at_most_half(attempts: int, seed: int) -> None:
    retry = Retry()
    full = min(retry.cap, retry.first * 2 ** min(attempts - 1, 40))
    assert full / 2 <= retry.delay(attempts, random.Random(seed)) <= full


def test_a_failing_event_is_tried_with_growing_pauses_and_then_held(new_world: MakeWorld, plugin: Plugin) -> None:
    recorder(plugin, {"bad"})
    w = new_world(plugin)
    (box,) = w.boxes(["bad"])
    w.grow(box, 1)
    waits: list[timedelta] = []
    for attempt in range(1, 8):
        assert w.crm.run_pending() == 0
        (line,) = w.crm.delivery.parked()
        assert (line.subscription, line.record, line.attempts, line.state, line.behind) == (NAME, box.id, attempt, "waiting", 1)
        assert line.error == "ValueError: poison bad"
        assert line.next_try is not None
        assert w.crm.run_pending() == 0, "not before its time"
        assert w.crm.delivery.parked() == [line]
        waits.append(line.next_try - w.clock.now())
        w.later(seconds=waits[-1].total_seconds())
    assert all(timedelta(seconds=2**n) <= wait <= timedelta(seconds=2 ** (n + 1)) for n, wait in enumerate(waits))
    assert w.crm.run_pending() == 0
    (line,) = w.crm.delivery.parked()
    assert (line.attempts, line.state, line.next_try) == (8, "held", None)
    w.later(days=30)
    assert w.crm.run_pending() == 0
    assert w.effects() == [], "what failing tries did is undone"


def test_lines_are_kept_for_the_next_process(new_world: MakeWorld, plugin: Plugin) -> None:
    bad = recorder(plugin, {"bad"})
    w = new_world(plugin)
    w.boxes(["bad"])
    w.crm.run_pending()
    bad.clear()
    second = new_world(plugin, seed=99)
    second.later(hours=2)
    assert second.crm.run_pending() == 1
    assert w.crm.delivery.parked() == []


def held(w: World, plugin: Plugin) -> Box:
    """Park a creation and three updates of a box, and hold them."""
    (box,) = w.boxes(["bad"])
    for size in (1, 2, 3):
        w.grow(box, size)
    for _ in range(8):
        w.crm.run_pending()
        w.later(hours=1)
    assert [line.state for line in w.crm.delivery.parked()] == ["held"]
    return box


def whats(w: World, box: Box) -> list[tuple[str, int | None]]:
    return [(e.what, e.size) for e in w.effects(box)]


def test_retry_delivers_the_whole_line_in_order(new_world: MakeWorld, plugin: Plugin) -> None:
    bad = recorder(plugin, {"bad"})
    w = new_world(plugin)
    box = held(w, plugin)
    bad.clear()
    assert w.crm.run_pending() == 0
    w.crm.delivery.retry(NAME, box.id)
    assert w.crm.run_pending() == 4
    assert whats(w, box) == [("created", 0), ("updated", 1), ("updated", 2), ("updated", 3)]


def test_retry_of_what_still_fails_gives_it_all_its_tries_again(new_world: MakeWorld, plugin: Plugin) -> None:
    recorder(plugin, {"bad"})
    w = new_world(plugin)
    box = held(w, plugin)
    w.crm.delivery.retry(NAME, box.id)
    assert w.crm.run_pending() == 0
    (line,) = w.crm.delivery.parked()
    assert (line.attempts, line.state, line.behind) == (1, "waiting", 3)


def test_skip_leaves_out_the_head_and_goes_on(new_world: MakeWorld, plugin: Plugin) -> None:
    bad = recorder(plugin, {"bad"})
    w = new_world(plugin)
    box = held(w, plugin)
    bad.clear()
    w.crm.delivery.skip(NAME, box.id)
    assert w.crm.run_pending() == 3
    assert whats(w, box) == [("updated", 1), ("updated", 2), ("updated", 3)]
    assert w.crm.delivery.parked() == []


def test_discard_leaves_out_the_line_and_later_events_flow(new_world: MakeWorld, plugin: Plugin) -> None:
    bad = recorder(plugin, {"bad"})
    w = new_world(plugin)
    box = held(w, plugin)
    bad.clear()
    w.crm.delivery.discard(NAME, box.id)
    w.grow(box, 4)
    assert w.crm.run_pending() == 1
    assert whats(w, box) == [("updated", 4)]


@pytest.mark.parametrize("verb", ["retry", "skip", "discard"])
def test_what_is_not_parked_cannot_be_decided(new_world: MakeWorld, plugin: Plugin, verb: str) -> None:
    recorder(plugin)
    w = new_world(plugin)
    (box,) = w.boxes(["good"])
    w.crm.run_pending()
    with pytest.raises(NotFound) as caught:
        getattr(w.crm.delivery, verb)(NAME, box.id)
    assert caught.value.code == "not_parked"


def test_a_subscriber_that_skips_goes_on_after_the_last_try(new_world: MakeWorld, plugin: Plugin) -> None:
    @plugin.on(Created[Box], on_failure="skip")
    @plugin.on(Updated[Box], on_failure="skip")
    def record(s: Session, event: Any) -> None:
        if isinstance(event, Created):
            raise ValueError("never")
        s.create(Effect(event=event.id, box=event.record.id, what="updated", size=event.changes["size"].new))

    w = new_world(plugin)
    (box,) = w.boxes(["a"])
    w.grow(box, 1)
    for _ in range(7):
        assert w.crm.run_pending() == 0
        w.later(hours=1)
    assert w.crm.run_pending() == 1
    assert whats(w, box) == [("updated", 1)]
    assert w.crm.delivery.parked() == []


def test_only_the_failing_subscription_of_a_record_waits(new_world: MakeWorld, plugin: Plugin) -> None:
    recorder(plugin, {"bad"})
    seen: list[str] = []

    @plugin.on(Created[Box])
    def other(s: Session, event: Created[Box]) -> None:
        seen.append(event.new["name"])

    w = new_world(plugin)
    w.boxes(["bad", "good"])
    assert w.crm.run_pending() == 3
    assert seen == ["bad", "good"]
    assert [e.what for e in w.effects()] == ["created"]


def test_lines_are_listed_by_tenant(new_world: MakeWorld, plugin: Plugin) -> None:
    recorder(plugin, {"bad"})
    w = new_world(plugin)
    (box,) = w.boxes(["bad"])
    w.crm.run_pending()
    assert [line.record for line in w.crm.delivery.parked(tenant="main")] == [box.id]
    assert w.crm.delivery.parked(tenant="other") == []


def test_a_handler_that_ends_the_program_only_parks_its_event(new_world: MakeWorld, plugin: Plugin) -> None:
    @plugin.on(Created[Box])
    def leave(s: Session, event: Created[Box]) -> None:
        sys.exit(3)

    w = new_world(plugin)
    w.boxes(["a"])
    assert w.crm.run_pending() == 0
    (line,) = w.crm.delivery.parked()
    assert line.error == "SystemExit: 3"


def test_an_interrupt_ends_the_run_and_loses_nothing(new_world: MakeWorld, plugin: Plugin) -> None:
    interrupts = [KeyboardInterrupt]

    @plugin.on(Created[Box])
    def record(s: Session, event: Created[Box]) -> None:
        s.create(Effect(event=event.id, box=event.record.id, what="created"))
        if event.new["name"] == "b" and interrupts:
            raise interrupts.pop()

    w = new_world(plugin)
    w.boxes(["a", "b"])
    with pytest.raises(KeyboardInterrupt):
        w.crm.run_pending()
    assert w.effects() == []
    assert w.crm.run_pending() == 2
    assert len(w.effects()) == 2


def test_an_event_that_cannot_be_read_is_parked_with_the_reason(new_host: MakeHost) -> None:
    host = new_host({"box.record": lambda s, e: s.effect(e)})
    (record,) = host.records(1)
    with host.begin() as connection:
        host.write(connection, [record])
        connection.execute(host.tables.system.journal.update().values(kind="box.box.created.v7"))
    assert host.delivery().run_pending() == 0
    (line,) = host.delivery().parked()
    assert line.error.startswith("SchemaBehind: The event box.box.created.v7 was written by a newer version")


def test_a_line_longer_than_a_batch_is_worked_off_in_order(new_host: MakeHost) -> None:
    bad: set[str] = set()

    def handle(session: Any, event: Any) -> None:
        if event.record.id in bad:
            raise ValueError
        session.effect(event)

    host = new_host({"box.record": handle})
    (record,) = host.records(1)
    bad.add(record)
    host.journal([record] * 701)
    delivery = host.delivery()
    assert delivery.run_pending() == 0
    assert delivery.parked()[0].behind == 700
    bad.clear()
    host.clock.advance(timedelta(hours=1))
    assert delivery.run_pending() == 701
    assert host.effects() == host.expected()


def test_random_failures_and_decisions_keep_order_and_lose_only_what_was_given_up(new_host: MakeHost) -> None:
    """A model: 8 records, 300 random steps of events, failures, healing, waiting, retry and skip, against a list a record."""
    seed = 20262
    chance = random.Random(seed)
    bad: set[str] = set()

    def handle(session: Any, event: Any) -> None:
        session.effect(event)
        if event.record.id in bad:
            raise ValueError

    host = new_host({"box.record": handle})
    records = host.records(8)
    delivery = host.delivery(tries=3)
    skipped: list[str] = []
    for _ in range(300):
        match chance.choices(["write", "run", "bad", "good", "wait", "retry", "skip"], [5, 5, 1, 1, 3, 1, 1])[0]:
            case "write":
                host.journal(chance.choices(records, k=chance.randrange(1, 6)))
            case "run":
                delivery.run_pending(limit=chance.choice([None, 1, 5]))
            case "bad":
                bad.add(chance.choice(records))
            case "good":
                bad.discard(chance.choice(records))
            case "wait":
                host.clock.advance(timedelta(seconds=chance.choice([1, 5, 60])))
            case "retry":
                for line in delivery.parked()[:1]:
                    delivery.retry(line.subscription, line.record)
            case "skip":
                for line in delivery.parked()[:1]:
                    with host.begin(write=False) as connection:
                        skipped.append(at_positions(connection, host.tables, [line.position])[line.position].event_id)
                    delivery.skip(line.subscription, line.record)
    bad.clear()
    delivery.run_pending()
    for line in delivery.parked():
        delivery.retry(line.subscription, line.record)
    delivery.run_pending()
    assert delivery.parked() == []
    events = {r: [i for i in ids if i not in skipped] for r, ids in host.expected().items()}
    assert host.effects() == {r: ids for r, ids in events.items() if ids}
    print(f"{host.bound.kind}: 300 steps, {sum(map(len, events.values()))} events, {len(skipped)} skipped, seed {seed}")


def test_the_clock_may_jump_either_way_without_a_second_effect(new_world: MakeWorld, plugin: Plugin) -> None:
    bad = recorder(plugin, {"bad"})
    w = new_world(plugin)
    (box,) = w.boxes(["bad"])
    w.crm.run_pending()
    w.later(days=-1)
    w.grow(box, 1)
    assert w.crm.run_pending() == 0
    bad.clear()
    w.later(days=2)
    assert w.crm.run_pending() == 2
    w.later(days=-2)
    assert w.crm.run_pending() == 0
    assert whats(w, box) == [("created", 0), ("updated", 1)]
    assert w.clock.now() == START + timedelta(days=-1)


def test_operators_see_lines_without_a_writing_transaction(new_world: MakeWorld, plugin: Plugin) -> None:
    recorder(plugin, {"bad"})
    w = new_world(plugin)
    w.boxes(["bad"])
    w.crm.run_pending()
    with w.crm.session(ADMIN) as s:
        s.create(Box(name="open"))
        assert len(w.crm.delivery.parked()) == 1
        assert w.crm.delivery.next_try() is not None
