"""Reports over metrics that plugins declare, through the lens, on both databases [C55, C57]."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import crm_sales
from crm_analytics import plugin
from crm_analytics.api import Analytics, Report
from crm_core import Actor, FixedClock, Money, Runtime
from crm_sales.api import Opportunity, Sales

BOSS = Actor("1", roles={"sales.manager"})
REP = Actor("7", roles={"sales.rep"})
OTHER = Actor("8", roles={"sales.rep"})


def test_c55_a_report_counts_what_its_actor_sees(make_crm: Any) -> None:
    clock = FixedClock(datetime.fromisoformat("2026-03-02T09:00+00:00"))
    crm = make_crm(plugins=[crm_sales.plugin, plugin], runtime=Runtime.seeded(1, clock=clock))
    for actor, amount in ((REP, 100), (OTHER, 250), (OTHER, 50)):
        with crm.session(actor) as s:
            deal = s.create(Opportunity(name="x", amount=Money(amount, "EUR"), opened_on=date(2026, 2, 20)))
            s.use(Sales).win(deal, reason="price")
    report = Report(metrics=["sales.won_deals", "sales.won_value", "sales.win_rate", "sales.cycle_time"], by=["sales.owner"], grain="month")
    with crm.session(BOSS, write=False) as s:
        assert s.use(Analytics).csv(report).splitlines() == [
            "period,sales.owner,currency,sales.won_deals,sales.won_value,sales.win_rate,sales.cycle_time",
            "2026-03,7,EUR,1,100.00,100.00,10.00",
            "2026-03,8,EUR,2,300.00,100.00,10.00",
        ]
        total = s.use(Analytics).run(report).total
        assert (total["sales.won_deals"], total["sales.won_value"], total["sales.cycle_time"]) == (3, Money(400, "EUR"), Decimal(10))
    with crm.session(REP, write=False) as s:
        assert s.use(Analytics).run(report).total["sales.won_value"] == Money(100, "EUR")
