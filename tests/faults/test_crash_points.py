"""R6: a worker dies at every point of a delivery in turn; each effect in the database is there once, in order, and none is missing."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from crm_core import CRM, FixedClock
from crm_core.testing.databases import Database, Databases
from tests.children import start
from tests.events.boxes import Box, Effect
from tests.events.world import ADMIN
from tests.faults.dying import DIED, deliver_and_die, open_crm
from tests.figures import LONG, figure

POINTS = 6
"""How many of the points the short form tries."""


def prepare(database: Database) -> None:
    """Make the tables, and eight events of three boxes that wait for two subscribers."""
    crm = open_crm(database.url, "prepare", set())
    crm.migrate()
    with crm.session(ADMIN) as s:
        boxes = s.create_many([Box(name=name) for name in ("one", "bad", "two")]).ok
    for size in (1, 2):
        for box in boxes[:2]:
            with crm.session(ADMIN) as s:
                s.update(Box, box.id, {"size": size})
    with crm.session(ADMIN) as s:
        s.update(Box, boxes[2].id, {"size": 1})
    crm.close()


def recover(crm: CRM) -> None:
    """Deliver the rest as another worker does, later: the dead one's lease has run out, what failed works again."""
    with crm.bound.begin() as connection:
        connection.execute(sa.update(crm.tables.system.subscription).values(until=None))
    crm.run_pending()
    clock = crm.runtime.clock
    assert isinstance(clock, FixedClock)
    clock.advance(timedelta(days=1))
    crm.run_pending()
    assert crm.delivery.parked() == []


def check(crm: CRM) -> int:
    """See that nothing is missing, doubled or out of order; return how many calls to the outside came twice."""
    with crm.session(ADMIN, write=False) as s:
        boxes = {b.id: b for b in s.query(Box).all()}
        effects = s.query(Effect).order_by(Effect.id).all()
    told = [e.event for e in effects if e.what == "told"]
    for box in boxes.values():
        mine = [(e.what, e.size) for e in effects if e.box == box.id and e.what != "told"]
        assert mine == [("created", 0), *(("updated", n + 1) for n in range(box.version - 1))]
    assert len(set(told)) == len(boxes)
    return len(told) - len(boxes)


def run_case(databases: Databases, at: int) -> tuple[int, int]:
    """Die at a point; return how many calls to the outside came twice, and how many points there were if none was reached."""
    database = databases.reserve()
    databases.fill(database, "crash points", prepare)
    child = start(deliver_and_die, database.url, at)
    told = child.rest()
    assert child.process.exitcode == (0 if told else DIED)
    crm = open_crm(database.url, f"recover {at}", set())
    recover(crm)
    twice = check(crm)
    crm.close()
    databases.drop(database)
    return twice, told[0] if told else 0


def test_a_worker_may_die_at_any_point_of_a_delivery(databases: Databases) -> None:
    _, whole = run_case(databases, 0)
    points = range(1, whole + 1, 1 if LONG else whole // POINTS)
    twice = [run_case(databases, at) for at in points]
    assert not any(reached for _, reached in twice), "it must have died where it was told to"
    assert max(count for count, _ in twice) <= 1
    kind = "postgresql" if "Postgres" in type(databases).__name__ else "sqlite"
    result = f"held at {len(points)} of {whole} points; {sum(c for c, _ in twice)} outside calls came twice, with their id"
    bar = "at least once 100 %, effects exactly once, in each record's order"
    figure("R6 crash points", database=kind, cases=len(points), rows=8, result=result, bar=bar)
