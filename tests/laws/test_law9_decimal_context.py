"""Law 9: what money and percentages come to does not depend on the decimal context of the host's thread."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_analytics.cohorts import Cohort
from crm_core import Actor, Entity, Field, Money, MoneyField, Plugin, Ref, field, ratio
from crm_erp_bridge.codecs import CODECS, Options
from crm_marketing.api import AttributionModel, Campaign
from crm_marketing.attribution import credits
from crm_marketing.metrics import campaign_roi
from crm_marketing.revenue import Roi
from crm_sales.forecast import weighted
from crm_sales.pricing import Taxed, discounted, line_net, tax_of, totals
from crm_sales.rates import convert
from crm_sales.settings import Rounding
from crm_service.scoring import Method, csat, nps

BIG, COST = Money("1234567890123.45", "EUR"), Money("7654321.01", "EUR")
DAY = datetime(2026, 1, 1, tzinfo=UTC)
TOUCHES = [DAY, DAY + timedelta(days=3, hours=5), DAY + timedelta(days=11)]
TRAPS = [decimal.Inexact, decimal.Rounded, decimal.Subnormal, decimal.Clamped, decimal.FloatOperation]
HOSTILE = {
    "narrow": decimal.Context(prec=5, rounding=decimal.ROUND_DOWN),
    "up": decimal.Context(prec=3, rounding=decimal.ROUND_UP, Emin=-9, Emax=9),
    "traps": decimal.Context(prec=2, traps=[*TRAPS, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]),
    "deaf": decimal.Context(prec=1, traps=[]),
}


class Deal(Entity):
    value: MoneyField
    factor: Field[Decimal] = field(scale=6)


shop = Plugin("till", version="1.0")
shop.entities(Deal)


def figures() -> Iterator[Any]:
    """Yield what all five modules make of amounts and counts."""
    percent = Decimal("33.3333")
    yield discounted(BIG, percent), line_net(BIG, Decimal("1.123456")), tax_of(BIG, Decimal("19.6"))
    for rounding in Rounding:
        yield totals([Taxed(BIG, Decimal("19")), Taxed(COST, Decimal("7.7"))], "EUR", rounding)
    yield weighted([(BIG, 33), (COST, 67)], "EUR"), convert(BIG, Decimal("1.234567"), "USD")
    yield campaign_roi(BIG, COST), campaign_roi(COST, BIG), campaign_roi(COST, Money(0, "EUR"))
    result = Roi(Ref(Campaign, "x"), AttributionModel.LINEAR, BIG, COST, 3)
    yield result.ratio
    yield [credits(BIG, TOUCHES, model) for model in AttributionModel]
    yield nps({10: 1234567, 7: 7, 0: 345678}), csat({5: 3, 4: 1, 1: 2}, method=Method.MEAN, highest=5)
    yield csat({5: 123457, 4: 1, 1: 21}, method=Method.PERCENT_OF_MAX, highest=5)
    yield Cohort(None, [1234567, 345678, 0]).retention(1), Cohort(None, [7, 0]).retention(1)  # type: ignore[arg-type]  # no period
    yield ratio(100 * 1234567, 7654321), ratio(BIG.amount, COST.amount, 6), ratio(-1, 8), ratio(1, 0)
    yield [CODECS["money"].to_crm(("1234567890123.45", "EUR"), Options()), CODECS["decimal"].to_crm("1234567890.123400", Options())]


@pytest.mark.parametrize("name", HOSTILE)
def test_all_modules_give_the_same_figures_in_any_context(name: str) -> None:
    expected = [repr(each) for each in figures()]
    with decimal.localcontext(HOSTILE[name]):
        found = [repr(each) for each in figures()]
    assert found == expected
    assert "Decimal('-0.13')" in expected[-2]  # a half goes away from zero


@pytest.mark.parametrize("name", ["narrow", "traps"])
def test_amounts_are_stored_summed_and_read_the_same_in_any_context(make_crm: Callable[..., Any], admin: Actor, name: str) -> None:
    crm = make_crm(plugins=[shop])
    with decimal.localcontext(HOSTILE[name]), crm.session(admin) as s:
        s.create_many([Deal(value=BIG, factor=Decimal("123456.654321")), Deal(value=COST, factor=Decimal("0.000001"))])
    with decimal.localcontext(HOSTILE[name]), crm.session(admin) as s:
        assert {d.value for d in s.query(Deal).all()} == {BIG, COST}
        assert s.query(Deal).where(Deal.value >= BIG).one().factor == Decimal("123456.654321")
        total, factor = s.execute(select(Deal.value.sum(), func.sum(Deal.factor)).where(Deal.value.currency == "EUR")).one()
    assert (total, factor) in [((BIG + COST), Decimal("123456.654322")), ((BIG + COST).amount, Decimal("123456.654322"))]


@pytest.fixture
def admin() -> Actor:
    return Actor.system("tests", tenant="main")
