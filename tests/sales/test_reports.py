"""Figures of sales: counted by the database, equal to a plain recomputation, and nobody's business but the actor's."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from crm_core import CRM, Money
from crm_sales.api import Opportunity, Product, Sales, Status, WinRate
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


def deals_of(rows: list[dict[str, str]], products: dict[str, Product]) -> Iterator[Opportunity]:
    for row in rows:
        closed = datetime.fromisoformat(row["close_date"]).replace(tzinfo=UTC) if row["close_date"] else None
        yield Opportunity(
            name=row["opportunity_id"], amount=Money(row["close_value"] or 0, "USD"), stage=row["deal_stage"].lower(),
            owner=row["sales_agent"], product=products[row["product"]].ref, won_reason="imported", lost_reason="imported",
            closed_at=closed, external_ref=f"maven:{row['opportunity_id']}",
        )  # fmt: skip


def test_the_figures_of_8800_real_deals_are_right(crm: CRM, test_data: Callable[[str], Path]) -> None:
    """[C14, C21] 4,238 won, 2,473 lost, 1,589 engaging, 500 prospecting, won value 10,005,534, win rate 63.15 %; and all by agent."""
    with (test_data("sales/maven_crm_opportunities") / "sales_pipeline.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with crm.session(BOSS) as s:
        names = sorted({row["product"] for row in rows})
        products = {p.name: p for p in s.create_many(Product(name=n) for n in names).ok}
        assert len(s.create_many(deals_of(rows, products)).ok) == 8800
    with crm.session(BOSS, write=False) as s:
        sales = s.use(Sales)
        stages = {f.stage: f for f in sales.pipeline_by_stage()}
        assert {stage: f.deals for stage, f in stages.items()} == {"won": 4238, "lost": 2473, "engaging": 1589, "prospecting": 500}
        assert stages["won"].amount == Money(10_005_534, "USD")
        assert sales.win_rate().percent == Decimal("63.15")
        for figures, column in ((sales.performance_by_owner(), "sales_agent"), (sales.performance_by_product(), "product")):
            expected = Counter((row[column], row["deal_stage"]) for row in rows)
            worth: Counter[str] = Counter()
            for row in rows:
                worth[row[column]] += int(row["close_value"] or 0)
            assert {f.key for f in figures} == {row[column] for row in rows}
            for f in figures:
                assert f.key is not None
                assert (f.rate.won, f.rate.lost) == (expected[f.key, "Won"], expected[f.key, "Lost"])
                assert f.open == expected[f.key, "Engaging"] + expected[f.key, "Prospecting"]
                assert f.won_amounts == {"USD": Money(worth[f.key], "USD")}
        closed = [line for line in sales.forecast() if line.month is not None]
        assert sum(line.weighted.amount for line in closed) == 10_005_534
        assert s.query(Opportunity).where(Opportunity.status == Status.OPEN).count() == 2089
