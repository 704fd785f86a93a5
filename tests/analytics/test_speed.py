"""Figures over many records: how long they take for who sees all or few, from records and from kept sums (W7, B8).

There are 20,000 of them, or as many as CRM_TEST_ROWS says.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, ClassVar

from crm_analytics import plugin
from crm_analytics.api import Analytics, RebuildRollups, Report, Table
from crm_core import CRM, Actor, Entity, Field, Money, MoneyField, Plugin, Role, Runtime, field, owner

ROWS, SEED = int(os.environ.get("CRM_TEST_ROWS", "20000")), 7
STAGES = ("new", "proposal", "won", "lost")


class Sale(Entity):
    """A deal without a pipeline's rules, so that many can be made."""

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("owner", "stage"),)

    owner: Field[str | None]
    stage: Field[str]
    on: Field[date]
    amount: MoneyField = field()


deals = Plugin("deals", version="1.0.0")
deals.entities(Sale)
deals.dimension("stage", Sale, "stage", label="Stage")
deals.measure("count", Sale, at="on", label="Deals", formula="number of deals", unit="deals")
deals.measure("value", Sale, of="amount", at="on", label="Value", formula="sum of amounts", unit="money")
deals.rollup("stages", Sale, by=("owner", "stage"), of="amount")
ALL = Actor("1", roles={"all", "analytics.analyst"})
FEW = Actor("u3", roles={"few"})
ROLES = (Role("all").allow(Sale, "read", "create"), Role("few").allow(Sale, "read", where=owner))
QUESTION = Report(metrics=["deals.count", "deals.value"], by=["deals.stage"])
BY_MONTH = Report(metrics=["deals.value"], by=["deals.stage"], grain="month", zone="Asia/Shanghai")


def timed(work: Callable[[], Table]) -> tuple[Table, float]:
    """Return the answer and the best of three times, in milliseconds; the first compiles."""
    found, best = work(), float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        found = work()
        best = min(best, 1000 * (time.perf_counter() - begin))
    return found, best


def test_figures_over_many_records_are_fast_from_kept_sums_and_the_same_from_records(make_crm: Any) -> None:
    crm: CRM = make_crm(plugins=[deals, plugin], roles=ROLES, runtime=Runtime.seeded(SEED))
    chance = random.Random(SEED)
    sales = (
        Sale(owner=f"u{chance.randrange(100)}", stage=chance.choice(STAGES), on=date(2025, 1, 1) + timedelta(days=chance.randrange(700)),
             amount=Money(chance.randrange(100_000), "EUR"))
        for _ in range(ROWS)
    )  # fmt: skip
    begin = time.perf_counter()
    with crm.session(ALL) as s:
        for _ in range(ROWS // 10_000):
            s.create_many(next(sales) for _ in range(10_000))
    lines = [f"write with a rollup {time.perf_counter() - begin:.1f} s"]
    answers: dict[str, dict[str, Table]] = {}
    for when in ("records", "kept sums"):
        for actor, who in ((ALL, "sees all"), (FEW, "sees 1 %")):
            with crm.session(actor, write=False) as s:
                for report, what in ((QUESTION, "by stage"), (BY_MONTH, "by stage and month")):
                    table, ms = timed(lambda report=report, s=s: s.use(Analytics).run(report))  # type: ignore[misc]  # bound now
                    lines.append(f"{what}, {who}, from {'records' if report is BY_MONTH else when}: {ms:.1f} ms")
                    answers.setdefault(f"{who} {what}", {})[when] = table
        with crm.session(ALL) as s:
            s.perform(RebuildRollups())
    print(f"\n{crm.bound.kind}, {ROWS} rows, seed {SEED}:", *lines, sep="\n  ")
    assert len(answers) == 4
    for found in answers.values():
        assert [(r.keys, dict(r.figures)) for r in found["records"].rows] == [(r.keys, dict(r.figures)) for r in found["kept sums"].rows]
    assert answers["sees all by stage"]["records"].total["deals.count"] == ROWS
