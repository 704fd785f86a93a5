"""W9: worker processes share delivery, rules by the clock and the sequencer of one PostgreSQL; one is killed at a time."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core import CRM, AutomationRule, AutomationRun, RuleTrigger
from crm_core.testing.databases import PostgresDatabases
from tests.automation.office import Case
from tests.children import Child, start
from tests.events.boxes import Box, Effect
from tests.events.world import ADMIN
from tests.faults.working import open_crm, work
from tests.figures import LONG, figure

SEED = 20269
SUBSCRIPTIONS = 4
WARMING = 10
"""Events of each of the first rounds, in which a process compiles its statements."""


def caught_up(crm: CRM) -> bool:
    """Say whether every subscription has read to the last change of a box."""
    system = crm.tables.system
    with crm.bound.begin(write=False) as connection:
        changes = sa.select(sa.func.count()).select_from(system.journal).where(system.journal.c.entity == "box.box")
        effects = sa.select(sa.func.count()).select_from(crm.table(Effect))
        return bool(connection.execute(effects).scalar_one() >= SUBSCRIPTIONS * connection.execute(changes).scalar_one())


def wait_for(crm: CRM, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not caught_up(crm):
        assert time.monotonic() < end, "something is never delivered"
        time.sleep(0.02)


def heard(crm: CRM) -> tuple[dict[str, list[str]], dict[tuple[str, str], list[str]]]:
    """Return the events of each box, and those that each subscription left an effect of, in order."""
    happened: dict[str, list[str]] = {}
    found: dict[tuple[str, str], list[str]] = {}
    journal, effects = crm.tables.system.journal, crm.table(Effect)
    with crm.bound.begin(write=False) as connection:
        mine = sa.select(journal.c.record, journal.c.payload).where(journal.c.entity == "box.box").order_by(journal.c.id)
        for record, payload in connection.execute(mine):
            happened.setdefault(record, []).append(payload["id"])
        order = sa.select(journal.c.record).where(journal.c.entity == "box.effect").order_by(journal.c.id)
        rows = {row.id: row for row in connection.execute(sa.select(effects))}
        for record in connection.execute(order).scalars():
            found.setdefault((rows[record].what, rows[record].box), []).append(rows[record].event)
    return happened, found


def kill_all(workers: list[Child]) -> None:
    for child in workers:
        child.kill()


def new_worker(crm: CRM, started: float) -> Child:
    child = start(work, crm.url, SUBSCRIPTIONS, started)
    assert child.told.recv() == "ready"
    return child


def test_workers_that_are_killed_one_at_a_time_do_everything_once(postgres_databases: PostgresDatabases) -> None:
    kills, workers_at_once = (40, 4) if LONG else (3, 3)
    database, started, chance = postgres_databases.create(), time.time(), random.Random(SEED)
    crm = open_crm(database.url, SUBSCRIPTIONS, started)
    crm.migrate()
    with crm.session(ADMIN) as s:
        case = s.create(Case(name="A"))
        schedule: dict[str, Any] = {"runs_on": RuleTrigger.SCHEDULE, "schedule": {"every_minutes": 1}}
        for n in range(3):
            remind = {"perform": "office.remind", "with": {"text": {"field": "name"}}}
            s.create(AutomationRule(name=f"rule {n}", entity="office.case", actions=[remind], **schedule))
    workers = [new_worker(crm, started) for _ in range(workers_at_once)]
    boxes: list[Box] = []
    for _ in range(kills):
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            with crm.session(ADMIN) as s:
                boxes += s.create_many([Box(name="box"), Box(name="box")]).ok
                box = chance.choice(boxes)
                s.update(Box, box.id, {"size": s.lock(Box, box.id).size + 1})
            time.sleep(0.02)
        workers.pop(0).kill()
        workers.append(new_worker(crm, started))
    wait_for(crm)
    kill_all(workers)
    happened, found = heard(crm)
    assert found == {(f"hear{n}", box): ids for n in range(SUBSCRIPTIONS) for box, ids in happened.items()}
    events = sum(map(len, happened.values()))
    with crm.session(ADMIN, write=False) as s:
        runs = s.query(AutomationRun).all()
    slots = Counter(r.key.removesuffix(f":run:{case.id}") for r in runs)
    assert set(slots.values()) == {2}, "each slot was taken once, and its work done once"
    result = f"{events * SUBSCRIPTIONS} effects, each once and in order; {len(slots)} slots of rules, each once"
    bar = "each event's effect exactly once"
    figure("W9 workers killed", database="postgresql 18", cases=kills, rows=events, seed=SEED, result=result, bar=bar)
    crm.close()
    postgres_databases.drop(database)


def idle() -> float:
    """Return the seconds for which the processors had nothing to do since the machine started."""
    ticks = int(Path("/proc/stat").read_text(encoding="ascii").split()[4])
    return ticks / os.sysconf("SC_CLK_TCK")


def delivered(databases: PostgresDatabases, workers: int, events: int, waits: float) -> tuple[int, float, float]:
    """Return how many effects so many workers leave; once each has made some, how many a second; and how busy the processors are."""
    database, started = databases.create(), time.time()
    crm = open_crm(database.url, SUBSCRIPTIONS, started)
    crm.migrate()
    running = [start(work, crm.url, SUBSCRIPTIONS, started, waits) for _ in range(workers)]
    for child in running:
        child.told.recv()
    for number in (*[WARMING] * 10, events):
        with crm.session(ADMIN) as s:
            s.create_many([Box(name="box") for _ in range(number)])
        began, rested = time.perf_counter(), idle()
        wait_for(crm, 300)
        seconds, rest = time.perf_counter() - began, idle() - rested
    kill_all(running)
    _, found = heard(crm)
    crm.close()
    databases.drop(database)
    return sum(map(len, found.values())), events * SUBSCRIPTIONS / seconds, 1 - rest / seconds / (os.cpu_count() or 1)


@pytest.mark.parametrize(("what", "waits"), [("W9 throughput", 0), ("W9 throughput, handlers that wait 4 ms", 0.004)])
def test_workers_share_the_work(postgres_databases: PostgresDatabases, what: str, waits: float) -> None:
    """Growth ends where the processors, which the server shares, have no time left; handlers that wait for other systems leave them some.

    What ends the growth of those is the number of subscriptions.
    """
    events = 5_000 if LONG else 1_000 if not waits else 250
    done = {n: delivered(postgres_databases, n, events, waits) for n in (1, 2, 4)}
    assert {effects for effects, _, _ in done.values()} == {(10 * WARMING + events) * SUBSCRIPTIONS}
    rates = {n: found for n, (_, found, _) in done.items()}
    told = (f"{n} workers {found:.0f}/s ({busy:.0%} of the processors)" for n, (_, found, busy) in done.items())
    grows = all(rates[more] > rates[n] or done[n][2] > 0.9 for n, more in ((1, 2), (2, 4)))
    bar = "grows with workers until the database is the limit"
    figure(what, database="postgresql 18", cases=3, rows=events * SUBSCRIPTIONS, result=", ".join(told), bar=bar, met=grows)
    if LONG and waits:
        assert rates[4] > 2 * rates[1]
