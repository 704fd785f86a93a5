"""B10, W9: what publishing adds to a write, and how fast events are handed out."""

from __future__ import annotations

import logging
import statistics
import time
from typing import Any

import pytest

from crm_core import CRM, Created
from crm_core.testing.databases import Database
from tests.conftest import MakeCRM
from tests.events.boxes import Box
from tests.events.raw import RawHost
from tests.events.world import ADMIN, Opener, box_plugin
from tests.figures import LONG, figure

ROUNDS, WRITES = (21, 200) if LONG else (7, 20)


def cpu_of(crm: CRM, *, emitting: bool) -> float:
    """Return the processor's seconds of so many sessions that create a box, and say that it was opened or not."""
    began = time.thread_time()
    for _ in range(WRITES):
        with crm.session(ADMIN) as s:
            box = s.create(Box(name="box"))
            if emitting:
                s.use(Opener).open(box)
    return time.thread_time() - began


def test_publishing_a_domain_event_beside_a_write(make_crm: MakeCRM) -> None:
    """The change itself is an event as soon as it is written; here a session says a second thing."""
    crm = make_crm(plugins=[box_plugin()])
    cpu_of(crm, emitting=True)
    pairs = [(cpu_of(crm, emitting=False), cpu_of(crm, emitting=True)) for _ in range(ROUNDS)]
    added = statistics.median(emitting / plain - 1 for plain, emitting in pairs)
    each = statistics.median(plain for plain, _ in pairs) / WRITES
    result = (
        f"a domain event adds {added:.0%} to a write of {each * 1e6:.0f} us (median of {ROUNDS} pairs); the change's own event adds none"
    )
    figure("B10 publishing", database=crm.bound.kind, cases=ROUNDS, rows=ROUNDS * WRITES, result=result, bar="<= 15 %", met=added <= 0.15)
    assert added < 2


def test_subscriptions_cost_a_write_nothing(make_crm: MakeCRM) -> None:
    """Who listens is looked up when it is delivered, so a write takes as long with twenty listeners as with none."""
    plugin = box_plugin()
    for n in range(20):

        def hear(s: Any, event: Any) -> None:
            """Listen."""

        hear.__name__ = f"hear{n}"
        plugin.on(Created[Box])(hear)
    alone, heard = make_crm(plugins=[box_plugin()]), make_crm(plugins=[plugin])
    for crm in (alone, heard):
        cpu_of(crm, emitting=False)
    pairs = [(cpu_of(alone, emitting=False), cpu_of(heard, emitting=False)) for _ in range(ROUNDS)]
    added = statistics.median(other / plain - 1 for plain, other in pairs)
    result = f"twenty subscriptions add {added:.0%} to a write (median of {ROUNDS} pairs)"
    figure("B10 listeners", database=alone.bound.kind, cases=ROUNDS, rows=ROUNDS * WRITES, result=result, bar="<= 15 %", met=added <= 0.15)
    assert added < 1


@pytest.mark.parametrize("batch", [True, False])
def test_events_are_handed_out_fast(database: Database, batch: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    events = 100_000 if LONG else 3_000
    seen = [0]

    def hear(session: Any, given: Any) -> None:
        seen[0] += len(given) if batch else 1

    host = RawHost(database, {"box.record": hear}, batch=batch)
    host.create()
    host.journal(host.records(events))
    delivery = host.delivery()
    began, busy = time.perf_counter(), time.thread_time()
    assert delivery.run_pending() == events
    rate, of_processor = events / (time.perf_counter() - began), events / (time.thread_time() - busy)
    assert seen == [events]
    manner = "batches" if batch else "one by one"
    result = f"{rate:.0f} events/s to one subscriber, {manner}; {of_processor:.0f} a second of the processor"
    figure("W9 drain", database=database.kind, rows=events, result=result, bar=">= 100,000/s (B10)", met=rate >= 100_000)
    host.bound.dispose()


def test_events_are_handed_out_by_a_whole_crm(make_crm: MakeCRM) -> None:
    """Each event in a session of its own, as the plugin's service actor, and sealed into the journal's chain before it is handed out."""
    events = 20_000 if LONG else 2_000
    seen = [0]
    plugin = box_plugin()

    @plugin.on(Created[Box])
    def hear(s: Any, event: Any) -> None:
        seen[0] += 1

    crm = make_crm(plugins=[plugin])
    with crm.session(ADMIN) as s:
        s.create_many([Box(name="box") for _ in range(events)])
    busy = time.thread_time()
    crm.audit.seal()
    sealed, began = time.thread_time() - busy, time.perf_counter()
    busy = time.thread_time()
    assert crm.run_pending() == events
    rate, of_processor = events / (time.perf_counter() - began), events / (time.thread_time() - busy)
    assert seen == [events]
    result = f"{rate:.0f} events/s to one plugin; {of_processor:.0f} a second of the processor, which seals {events / sealed:.0f}"
    figure("W9 drain by a CRM", database=crm.bound.kind, rows=events, result=result, bar=">= 100,000/s (B10)", met=rate >= 100_000)
