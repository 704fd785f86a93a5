"""The forecast: weighted per month, owner and currency, lost deals left out [C21]."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core import CRM, ExchangeRate, Invalid, Money, Session
from crm_sales.api import Forecast, ForecastLine, Opportunity, Sales, Status
from crm_sales.forecast import weighted
from tests.sales.desk import BOSS, deal, rep


def rates(s: Session, usd: str, eur: str, day: date) -> None:
    for base, value in (("USD", usd), ("EUR", eur)):
        s.create(ExchangeRate(base=base, quote="BRL", valid_from=day, rate=Decimal(value)))


def lines(crm: CRM, actor: Any = BOSS, **options: Any) -> list[ForecastLine]:
    with crm.session(actor, write=False) as s:
        return s.use(Sales).forecast(**options)


def test_open_deals_of_two_currencies_add_up_only_in_a_third(brl: CRM) -> None:
    """[G11] OCA/crm 640: USD 50 + EUR 50 at 1.5 and 2.0 is BRL 175, never "USD 100"."""
    with brl.session(BOSS) as s:
        rates(s, "1.5", "2.0", date(2026, 1, 1))
        for currency in ("USD", "EUR"):
            deal(s, currency, Money(50, currency), owner="A")
    assert [line.amount for line in lines(brl)] == [Money(50, "EUR"), Money(50, "USD")]
    (line,) = lines(brl, base="BRL")
    assert (line.amount, line.weighted, line.deals) == (Money(175, "BRL"), Money("17.50", "BRL"), 2)


def test_todays_rate_moves_open_deals_and_no_closed_figure(brl: CRM) -> None:
    """[G12, C78]"""
    with brl.session(BOSS) as s:
        rates(s, "1.5", "2.0", date(2026, 1, 1))
        s.use(Sales).win(deal(s, "won", Money(50, "USD")), reason="price")
        deal(s, "open", Money(50, "USD"), expected_close=date(2026, 6, 1))
    before = lines(brl, base="BRL")
    with brl.session(BOSS) as s:
        rates(s, "9", "9", date(2026, 5, 4))
    after = lines(brl, base="BRL")
    assert [line.month for line in after] == ["2026-05", "2026-06"]
    assert after[0] == before[0]
    assert [line.amount for line in (before[1], after[1])] == [Money(75, "BRL"), Money(450, "BRL")]


def test_a_currency_without_a_rate_is_an_error_and_not_left_out(brl: CRM) -> None:
    with brl.session(BOSS) as s:
        deal(s)
    with pytest.raises(Invalid) as missing:
        lines(brl, base="BRL")
    assert missing.value.code == "missing_rate"


def test_deals_count_in_their_month_with_their_probability_and_lost_ones_not_at_all(crm: CRM) -> None:
    """[C21] frappe counts lost deals in full."""
    june, july = date(2026, 6, 30), date(2026, 7, 1)
    with crm.session(BOSS) as s:
        sales = s.use(Sales)
        deal(s, "a", Money(100, "EUR"), owner="A", expected_close=june, stage="proposal")
        deal(s, "b", Money(200, "EUR"), owner="A", expected_close=june, stage="negotiation")
        deal(s, "c", Money(400, "EUR"), owner="D", expected_close=july)
        deal(s, "d", Money(800, "EUR"), owner="D")
        sales.lose(deal(s, "e", Money(1600, "EUR"), owner="A", expected_close=june), reason="price")
        sales.win(deal(s, "f", Money(3200, "EUR"), owner="A", expected_close=july), reason="price")
    found = [(x.month, x.owner, x.deals, str(x.amount), str(x.weighted)) for x in lines(crm)]
    assert found == [
        ("2026-05", "A", 1, "EUR 3200.00", "EUR 3200.00"),
        ("2026-06", "A", 2, "EUR 300.00", "EUR 220.00"),
        ("2026-07", "D", 1, "EUR 400.00", "EUR 40.00"),
        (None, "D", 1, "EUR 800.00", "EUR 80.00"),
    ]
    (june_line,) = lines(crm, since=date(2026, 6, 1), until=date(2026, 6, 30))
    assert june_line.categories == {Forecast.BEST: Money(100, "EUR"), Forecast.COMMIT: Money(200, "EUR")}
    assert june_line.rolled_up(Forecast.BEST) == june_line.rolled_up(Forecast.PIPELINE) == Money(300, "EUR")
    assert june_line.rolled_up(Forecast.CLOSED) == Money.zero("EUR")


def test_the_month_is_that_of_the_tenants_zone(make_crm: Any) -> None:
    """[C21] 20:00 UTC on the last of March is April in Shanghai."""
    from crm_sales import plugin

    crm = make_crm(plugins=[plugin.configured(timezone="Asia/Shanghai")])
    with crm.session(BOSS) as s:
        deal(s, stage="won", won_reason="old", closed_at=datetime(2017, 3, 31, 20, tzinfo=UTC))
    assert [line.month for line in lines(crm)] == ["2017-04"]


def test_each_sees_the_forecast_of_their_own(crm: CRM) -> None:
    """[C21] L manages A."""
    with crm.session(BOSS) as s:
        for owner in "AD":
            deal(s, owner, Money(100, "EUR"), owner=owner)
    assert {line.owner for line in lines(crm, rep("A"))} == {"A"}
    assert {line.owner for line in lines(crm, rep("L"))} == {"A"}
    assert {line.owner for line in lines(crm)} == {"A", "D"}


cases = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 100)), max_size=50)


@given(cases)
def test_weighting_rounds_once_at_the_end(parts: list[tuple[int, int]]) -> None:
    given_ = [(Money(Decimal(cents).scaleb(-2), "EUR"), percent) for cents, percent in parts]
    exact = sum(cents * percent for cents, percent in parts)
    expected = Decimal((exact * 2 + 100) // 200).scaleb(-2)
    assert weighted(given_, "EUR").amount == expected


def test_figures_agree_with_a_plain_recomputation(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        stages = ["new", "proposal", "negotiation", "won", "lost"]
        many = [
            Opportunity(
                name=str(n), amount=Money(n * 7 % 1000, "EUR" if n % 3 else "USD"), owner="AD"[n % 2], stage=stages[n % 5],
                won_reason="x", lost_reason="x", expected_close=date(2026, 6 + n % 3, 1),
            )
            for n in range(300)
        ]  # fmt: skip
        s.create_many(many)
        every = s.query(Opportunity).all()
    for line in lines(crm):
        mine = [
            d
            for d in every
            if d.status is not Status.LOST
            and d.owner == line.owner
            and d.amount.currency == line.currency
            and f"{d.closed_on or d.expected_close:%Y-%m}" == line.month
        ]
        assert len(mine) == line.deals
        assert sum(d.amount.amount for d in mine) == line.amount.amount
        assert sum(d.amount.amount * (d.probability or 0) for d in mine) / 100 == line.weighted.amount
    assert sum(line.deals for line in lines(crm)) == 240
