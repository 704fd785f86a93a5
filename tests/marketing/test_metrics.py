"""What marketing declares to whoever reports, computed again by hand and in plain SQL."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from crm_analytics import plugin as analytics
from crm_analytics.api import Analytics, Report
from crm_core import CRM, Actor, Contact, FixedClock, Money, Ref, Runtime, Session
from crm_marketing import plugin
from crm_marketing.api import AttributionModel, Campaign, CampaignCost, Marketing
from crm_sales import plugin as sales
from crm_sales.api import LeadIntake, Sales
from tests.marketing.conftest import MANAGER, MONDAY, SYSTEM, MakeCRM, campaign, eur

MONTHS = Report(metrics=["marketing.attributed_revenue", "marketing.campaign_cost", "marketing.campaign_roi"], grain="month")
CAMPAIGNS = Report(metrics=MONTHS.metrics, by=["marketing.campaign"])


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(MONDAY)


def sell(s: Session, name: str, amount: Money, came: list[tuple[str, Ref[Campaign] | None]], clock: FixedClock) -> None:
    """Have somebody come in by these ways, a day apart, and buy two days later."""
    (utm, _), *later = came
    lead = s.use(Sales).intake(LeadIntake(name=name, email=f"{name}@foo.io", utm={"utm_campaign": utm} if utm else {})).lead
    assert lead is not None
    for _, through in later:
        clock.advance(timedelta(days=1))
        s.use(Marketing).touch(lead, {}, campaign=through)
    clock.advance(timedelta(days=2))
    s.use(Sales).win(s.use(Sales).convert(lead, amount=amount).opportunity, reason="price")


def story(make_crm: MakeCRM, clock: FixedClock, **settings: Any) -> CRM:
    """Spring costs 150 and Fair 200. Anna came by both and paid 900 in March; Ben by Fair, 100 in April; Cleo by neither."""
    configured = plugin.configured(**settings)
    crm = make_crm(plugins=[configured, sales, analytics], runtime=Runtime.seeded(1, clock=clock))
    with crm.session(SYSTEM) as s:
        spring, fair = campaign(s, "Spring", code="spring"), campaign(s, "Fair", code="fair")
        for which, day, amount in ((spring, date(2026, 3, 1), 100), (spring, date(2026, 4, 2), 50), (fair, date(2026, 3, 1), 200)):
            s.create(CampaignCost(campaign=which.ref, day=day, amount=eur(amount)))
        sell(s, "Anna", eur(900), [("spring", None), ("", fair.ref)], clock)
        sell(s, "Cleo", eur(500), [("", None)], clock)
        clock.advance(datetime.fromisoformat("2026-04-03T09:00+00:00") - clock.now())
        sell(s, "Ben", eur(100), [("fair", None)], clock)
    return crm


def shown(crm: CRM, report: Report, actor: Actor = SYSTEM) -> dict[str, tuple[Any, ...]]:
    """Return revenue, cost and ROI by what people read of each row, and of the whole."""
    with crm.session(actor, write=False) as s:
        table = s.use(Analytics).run(report)
        rows = {row.period.label if row.period else table.shown(row.keys[0]): tuple(row.figures.values()) for row in table.rows}
        return {**rows, "total": tuple(table.total.figures.values())}


def test_c25_c57_roi_by_campaign_and_month_is_what_a_hand_computes(make_crm: MakeCRM, clock: FixedClock) -> None:
    crm = story(make_crm, clock)
    whole = (eur(1000), eur(350), Decimal("185.71"))  # (1000 - 350) / 350
    assert shown(crm, CAMPAIGNS) == {
        "Spring": (eur(450), eur(150), Decimal("200.00")),  # half of Anna's 900
        "Fair": (eur(550), eur(200), Decimal("175.00")),  # the other half, and Ben's 100
        "total": whole,
    }
    assert shown(crm, MONTHS) == {
        "2026-03": (eur(900), eur(300), Decimal("200.00")),
        "2026-04": (eur(100), eur(50), Decimal("100.00")),
        "total": whole,
    }
    with crm.bound.begin(write=False) as connection:
        name = crm.table(CampaignCost).name
        cents = [row[0] for row in connection.execute(text(f"SELECT amount FROM {name}"))]
    scale = 10**6 if crm.url.startswith("sqlite") else 1
    assert sum(map(Decimal, cents)) == 350 * scale


def test_c34_c57_the_model_is_the_one_that_the_setting_names(make_crm: MakeCRM, clock: FixedClock) -> None:
    crm = story(make_crm, clock, model=AttributionModel.FIRST)
    found = shown(crm, CAMPAIGNS)
    assert (found["Spring"][2], found["Fair"][2]) == (Decimal("500.00"), Decimal("-50.00"))
    with crm.session(SYSTEM, write=False) as s:
        for each in s.query(Campaign).all():
            roi = s.use(Marketing).roi(each, AttributionModel.FIRST)
            assert (roi.revenue, roi.cost) == found[each.name][:2]
            assert roi.ratio is not None
            assert 100 * roi.ratio == found[each.name][2]


def test_c57_who_sees_no_deals_is_told_the_cost_and_no_revenue(make_crm: MakeCRM, clock: FixedClock) -> None:
    reader = Actor("1", roles={"marketing.manager", "analytics.viewer"})
    assert shown(story(make_crm, clock), CAMPAIGNS, reader)["total"] == (eur(0), eur(350), Decimal("-100.00"))


@pytest.mark.alone
def test_c57_without_a_module_that_sells_nothing_was_brought(make_crm: MakeCRM, clock: FixedClock) -> None:
    crm = make_crm(plugins=[plugin, analytics], runtime=Runtime.seeded(1, clock=clock))
    with crm.session(MANAGER) as s:
        spring = campaign(s)
        s.use(Marketing).touch(s.create(Contact(name="Anna")), {}, campaign=spring)
        s.create(CampaignCost(campaign=spring.ref, day=date(2026, 3, 1), amount=eur(10)))
        table = s.use(Analytics).run(
            Report(metrics=CAMPAIGNS.metrics, by=["marketing.channel"], since=date(2026, 3, 1), until=date(2026, 3, 1))
        )
        assert [table.shown(row.keys[0]) for row in table.rows] == ["email"]
        assert table.total["marketing.campaign_roi"] == Decimal("-100.00")
        nothing = s.use(Analytics).run(Report(metrics=CAMPAIGNS.metrics, since=date(2026, 3, 2)))
        assert nothing.total["marketing.campaign_roi"] is None
