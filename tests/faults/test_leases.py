"""R10, R11: a worker is stopped for longer than its lease, and clocks jump: who was overtaken changes nothing, no lease ends early."""

from __future__ import annotations

import logging
import random
import signal
import time
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import pytest

from crm_core.events.subscription import lease
from crm_core.testing.databases import Database
from tests.children import start
from tests.events.raw import RawHost
from tests.events.world import box_plugin, recorder, world
from tests.figures import LONG, figure

SEED = 20268
PERIOD = 2.0


def deliver_slowly(tell: Connection, kind: Any, url: str, seed: int) -> None:
    """Deliver to the outside; say when the handler is entered, and in the end how many deliveries counted."""

    def handle(session: Any, event: Any) -> None:
        session.effect(event)
        tell.send("inside")
        time.sleep(1)

    host = RawHost(Database(kind, url), {"box.record": handle}, external=True, seed=seed)
    tell.send(host.delivery(lease=PERIOD).run_pending())
    host.bound.dispose()


def test_a_worker_that_was_stopped_beyond_its_lease_is_fenced(database: Database) -> None:
    """Its process really stops, inside the handler, and goes on when another has done its work."""
    rounds = 25 if LONG else 1
    host = RawHost(database, {"box.record": lambda s, e: s.effect(e)}, external=True, seed=0)
    host.create()
    twice = 0
    for turn in range(rounds):
        host.journal(host.records(3))
        child = start(deliver_slowly, database.kind, database.url, turn + 1)
        assert child.told.recv() == "inside"
        child.signal(signal.SIGSTOP)
        assert host.delivery(lease=PERIOD).run_pending() == 0, "its lease still runs"
        end = time.monotonic() + 20
        done = 0
        while done < 3 and time.monotonic() < end:
            time.sleep(0.1)
            done += host.delivery(lease=PERIOD).run_pending()
        assert done == 3
        child.signal(signal.SIGCONT)
        assert child.rest() == [0], "what it says afterwards does not count"
        effects, expected = host.effects(), host.expected()
        assert {r: list(dict.fromkeys(ids)) for r, ids in effects.items()} == expected
        twice = sum(map(len, effects.values())) - sum(map(len, expected.values()))
        assert twice == turn + 1, "the one event that it had in hand"
    result = f"0 stale completions of {rounds} counted; {twice} calls to the outside came twice, with their id"
    figure("R10 stale leases", database=database.kind, cases=rounds, rows=3 * rounds, result=result, bar="stale completion rejected")
    host.bound.dispose()


def test_clocks_that_jump_double_and_lose_nothing(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    steps = 1_000 if LONG else 80
    chance = random.Random(SEED)
    plugin = box_plugin()
    bad = recorder(plugin)
    w = world(database, plugin)
    boxes = w.boxes(["one", "two", "three"])
    sizes = {box.id: 0 for box in boxes}
    for _ in range(steps):
        match chance.choices(["grow", "run", "jump", "bad", "good"], [5, 4, 4, 1, 1])[0]:
            case "grow":
                box = chance.choice(boxes)
                sizes[box.id] += 1
                w.grow(box, sizes[box.id])
            case "run":
                w.crm.run_pending()
            case "jump":
                w.later(hours=chance.choice([-24, -1, -0.001, 0.01, 1, 24]))
            case "bad":
                bad.add(chance.choice(boxes).name)
            case "good":
                bad.clear()
    bad.clear()
    w.later(days=400)
    w.crm.run_pending()
    for line in w.crm.delivery.parked():
        w.crm.delivery.retry(line.subscription, line.record)
    w.crm.run_pending()
    for box in boxes:
        assert [e.size for e in w.effects(box)] == list(range(sizes[box.id] + 1))
    with w.crm.bound.begin() as connection:
        period = timedelta(seconds=60)
        assert lease(connection, w.crm.tables, "box.record", period) is not None
        w.later(days=1)
        assert lease(connection, w.crm.tables, "box.record", period) is None, "the database's clock counts"
    result = f"{sum(sizes.values()) + 3} events, each once and in order; no lease ended early"
    bar = "no early expiry, no double effect, order unchanged"
    figure("R11 clock jumps", database=database.kind, cases=steps, rows=sum(sizes.values()), seed=SEED, result=result, bar=bar)
    w.crm.close()
