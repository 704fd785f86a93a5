"""What a document comes to: pure figures."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core import Money
from crm_sales.pricing import Taxed, discounted, line_net, tax_of, totals
from crm_sales.settings import Rounding

percents = st.decimals(0, 100, places=2)
amounts = st.decimals(0, 10**6, places=2).map(lambda d: Money(d, "EUR"))
lines = st.lists(st.builds(Taxed, amounts, st.sampled_from([Decimal(0), Decimal(7), Decimal("15"), Decimal("19.6")])), max_size=20)


def golden() -> list[Taxed]:
    five = Decimal(5)
    many = line_net(discounted(Money("30.75", "EUR"), five), Decimal(10))
    one = line_net(discounted(Money("70.00", "EUR"), five), Decimal(1))
    return [Taxed(many, Decimal(15)), Taxed(one, Decimal(15))]


@pytest.mark.parametrize(("rounding", "tax"), [(Rounding.LINE, "53.80"), (Rounding.DOCUMENT, "53.79")])
def test_the_golden_quote_has_its_tax_by_line_or_by_document(rounding: Rounding, tax: str) -> None:
    """[G9] odoo 177192: net 358.63, tax 53.80 by line and 53.79 by document."""
    found = totals(golden(), "EUR", rounding)
    assert (found.net, found.tax, found.total) == (Money("358.63", "EUR"), Money(tax, "EUR"), Money("358.63", "EUR") + Money(tax, "EUR"))


def test_a_half_cent_goes_up_on_a_line() -> None:
    assert line_net(Money("0.125", "EUR"), Decimal(1)) == Money("0.13", "EUR")
    assert tax_of(Money("0.10", "EUR"), Decimal(5)) == Money("0.01", "EUR")


def test_yen_have_no_decimals() -> None:
    assert totals([Taxed(line_net(Money("333.5", "JPY"), Decimal(1)), Decimal(10))], "JPY", Rounding.LINE).total == Money(367, "JPY")


@given(lines)
def test_net_is_the_sum_of_the_lines_whatever_the_policy(document: list[Taxed]) -> None:
    by_line, by_document = (totals(document, "EUR", rounding) for rounding in Rounding)
    assert by_line.net == by_document.net == Money.sum((line.net for line in document), "EUR")


@given(lines)
def test_the_policies_differ_by_half_a_cent_a_line_at_most(document: list[Taxed]) -> None:
    by_line, by_document = (totals(document, "EUR", rounding).tax for rounding in Rounding)
    assert abs(by_line - by_document).amount <= Decimal("0.005") * (len(document) + len({line.tax for line in document}))


@given(lines)
def test_the_order_of_the_lines_does_not_matter(document: list[Taxed]) -> None:
    for rounding in Rounding:
        assert totals(document, "EUR", rounding) == totals(list(reversed(document)), "EUR", rounding)


@given(amounts, percents)
def test_a_discount_never_makes_a_price_negative_or_higher(price: Money, percent: Decimal) -> None:
    assert Money.zero("EUR") <= discounted(price, percent) <= price
