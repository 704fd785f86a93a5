"""Figures of sales: counted by the database, equal to a plain recomputation, and nobody's business but the actor's."""

from __future__ import annotations

from decimal import Decimal

from crm_core import CRM, Money
from crm_sales.api import Product, Sales, WinRate
from tests.sales.desk import BOSS, deal, rep


def test_a_win_rate_has_two_places_rounded_half_up() -> None:
    assert WinRate(4238, 2473).percent == Decimal("63.15")
    assert (WinRate(2, 1).percent, WinRate(1, 799).percent) == (Decimal("66.67"), Decimal("0.13"))
    assert WinRate(0, 0).percent is None


def test_each_sees_their_own_figures(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        for owner in "ADD":
            s.use(Sales).win(deal(s, owner=owner, amount=Money(100, "EUR")), reason="price")
    for actor, won in ((rep("A"), 1), (rep("D"), 2), (rep("L"), 1), (rep("nobody"), 0), (BOSS, 3)):
        with crm.session(actor, write=False) as s:
            sales = s.use(Sales)
            assert sales.win_rate() == WinRate(won, 0)
            assert sum(f.deals for f in sales.pipeline_by_stage()) == won
            assert sum(p.rate.won for p in sales.performance_by_owner()) == won


def test_amounts_of_unlike_currencies_stay_apart(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        sales = s.use(Sales)
        for currency in ("EUR", "USD", "EUR"):
            sales.win(deal(s, owner="A", amount=Money(50, currency)), reason="price")
        (figure,) = sales.performance_by_owner()
        assert figure.won_amounts == {"EUR": Money(100, "EUR"), "USD": Money(50, "USD")}


def test_what_was_sold_is_counted_by_product(crm: CRM) -> None:
    """The figures of 8,800 real deals are compared in the tests of the import."""
    with crm.session(BOSS) as s:
        sales = s.use(Sales)
        bolt = s.create(Product(name="Bolt"))
        sales.win(deal(s, amount=Money(7, "EUR"), product=bolt.ref), reason="price")
        sales.lose(deal(s, amount=Money(8, "EUR"), product=bolt.ref), reason="price")
        deal(s, amount=Money(9, "EUR"))
        figures = {f.key: (f.open, f.rate.won, f.rate.lost, f.won_amounts) for f in sales.performance_by_product()}
        assert figures == {"Bolt": (0, 1, 1, {"EUR": Money(7, "EUR")}), None: (1, 0, 0, {})}
        assert {(f.stage, f.deals, f.amount) for f in sales.pipeline_by_stage()} == {
            ("won", 1, Money(7, "EUR")),
            ("lost", 1, Money(8, "EUR")),
            ("new", 1, Money(9, "EUR")),
        }


def test_c14_a_funnel_counts_how_far_deals_came(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        sales = s.use(Sales)
        early, late, lost, won = (
            deal(s, name, owner=owner) for name, owner in (("early", "A"), ("late", "D"), ("lost", "A"), ("won", "D"))
        )
        sales.move(late.ref, "negotiation")
        sales.move(late.ref, "engaging")
        sales.move(lost.ref, "engaging")
        sales.lose(lost.ref, reason="price")
        sales.win(won, reason="price")
        assert early.stage == "new"
        steps = sales.funnel()
        assert [(f.stage, f.deals, f.percent) for f in steps] == [
            ("new", 4, 100), ("prospecting", 3, 75), ("engaging", 3, 75), ("proposal", 2, 50), ("negotiation", 2, 50), ("won", 1, 25),
        ]  # fmt: skip
        assert steps[0].label == "New"
        assert sales.funnel("no such pipeline") == []
    with crm.session(rep("A"), write=False) as s:
        assert [f.deals for f in s.use(Sales).funnel()] == [2, 1, 1, 0, 0, 0]
    with crm.session(rep("nobody"), write=False) as s:
        assert {f.percent for f in s.use(Sales).funnel()} == {None}
