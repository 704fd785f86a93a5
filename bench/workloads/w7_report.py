"""W7: the pipeline weighted by owner, month and stage: kept sums, a scan of the same table, and what keeping costs a write."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.data import ME
from bench.measure import Measure, windows
from bench.workloads import Scale
from crm_core import CRM, Actor, Entity, Field, Money, MoneyField, Plugin, Role, Rollup, field

OWNERS, MONTHS, STAGES = 100, 12, (10, 20, 40, 60, 80, 90)
SCAN = """SELECT owner, month, stage, probability, count(*), sum(amount) FROM crm_{plugin}_sale
    WHERE tenant = 'main' AND deleted_at IS NULL GROUP BY owner, month, stage, probability"""


def run(system: str, scale: Scale) -> Iterator[Measure]:
    """Measure the report over all records in both ways, and one create with and without the kept sums."""
    for name, keeping in (("kept", True), ("plain", False)):
        plugin, sale, rollup = _plugin(name, keeping=keeping)
        with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
            path = Path(folder) / "ours.db"
            crm = CRM(f"sqlite:///{path}", plugins=[plugin], roles=[Role("boss").allow(sale, "read", "create", "update")])
            crm.migrate()
            boss = Actor(ME, roles={"boss"})
            rows = _sales(random.Random("w7"), sale, scale.records)
            with crm.session(Actor.system("bench", tenant="main")) as s:
                s.create_many(rows)
                if rollup is not None:
                    s.rebuild(rollup)
            if keeping:
                yield _timed(scale, "report from kept sums", lambda crm=crm, rollup=rollup, boss=boss: _report(crm, rollup, boss))
                with sqlite3.connect(path) as db:
                    assert _report(crm, rollup, boss) == _scan(db, name), "kept sums and a scan are the same report"
                    yield _timed(scale, "report by a scan, sqlite3", lambda db=db, name=name: _scan(db, name))
            one = _sales(random.Random("one"), sale, 10_000_000)
            case = "one create, sums kept" if keeping else "one create, no sums"
            yield _timed(scale, case, lambda crm=crm, boss=boss, one=one: _create(crm, boss, one))
            crm.close()


def _plugin(name: str, *, keeping: bool) -> tuple[Plugin, type[Entity], Rollup | None]:
    class Sale(Entity):
        """A deal in a month."""

        name: Field[str]
        owner: Field[str | None] = field(default=None)
        month: Field[str] = field(length=7)
        stage: Field[str] = field(length=20)
        probability: Field[int]
        amount: MoneyField

    plugin = Plugin(name, version="1")
    plugin.entities(Sale)
    return plugin, Sale, plugin.rollup("report", Sale, by=("owner", "month", "stage", "probability"), of="amount") if keeping else None


def _sales(chance: random.Random, sale: Any, count: int) -> Iterator[Any]:
    for n in range(count):
        probability = chance.choice(STAGES)
        yield sale(
            name=f"Deal {n}",
            owner=f"user{chance.randrange(OWNERS)}",
            month=f"2026-{1 + chance.randrange(MONTHS):02}",
            stage=f"stage{probability}",
            probability=probability,
            amount=Money(chance.randrange(1, 1_000_000), "EUR"),
        )


def _report(crm: CRM, rollup: Any, actor: Actor) -> dict[tuple[str, str, str], Decimal]:
    with crm.session(actor, write=False) as s:
        cells = s.cells(rollup)
    assert cells is not None
    return {(c.values["owner"], c.values["month"], c.values["stage"]): c.amount * c.values["probability"] / 100 for c in cells}


def _scan(db: sqlite3.Connection, plugin: str) -> dict[tuple[str, str, str], Decimal]:
    rows = db.execute(SCAN.format(plugin=plugin)).fetchall()
    return {(owner, month, stage): Decimal(amount).scaleb(-6) * probability / 100 for owner, month, stage, probability, _, amount in rows}


def _create(crm: CRM, actor: Actor, rows: Iterator[Any]) -> None:
    with crm.session(actor) as s:
        s.create(next(rows))


def _timed(scale: Scale, case: str, call: Any) -> Measure:
    return windows("W7", case, call, seconds=scale.seconds, count=scale.count)
