"""Money is shared out to the last minor unit: nothing is lost, nothing made."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.entities.currencies import CURRENCIES, minor_units
from crm_core.entities.money import Money
from crm_core.errors import Invalid

CODES = sorted(CURRENCIES)
whole = st.integers(-(10**15), 10**15)
ratios = st.lists(st.one_of(st.integers(0, 10**6), st.decimals(0, 1000, places=4), st.fractions(0, 10)), min_size=1, max_size=20)


def minor(units: int, currency: str) -> Money:
    """So many cents, yen or fils."""
    return Money(Decimal(units).scaleb(-minor_units(currency)), currency)


@given(whole, ratios, st.sampled_from(CODES))
def test_an_allocation_keeps_every_minor_unit_and_stays_within_one_of_the_exact_share(units: int, shares: list[Any], currency: str) -> None:
    money = minor(units, currency)
    weights = [Fraction(s) for s in shares]
    if not sum(weights):
        with pytest.raises(Invalid) as error:
            money.allocate(shares)
        assert error.value.code == "zero_ratios"
        return
    parts = money.allocate(shares)
    assert Money.sum(parts, currency) == money
    places = minor_units(currency)
    for part, weight in zip(parts, weights, strict=True):
        assert part == part.rounded()
        assert abs(Fraction(part.amount) * 10**places - units * weight / sum(weights)) < 1
        if not weight:
            assert not part
    assert (-money).allocate(shares) == [-part for part in parts]
    assert money.allocate(shares) == parts


@given(whole, st.integers(1, 50))
def test_an_equal_allocation_differs_by_at_most_one_minor_unit_and_gives_it_to_the_first(units: int, n: int) -> None:
    parts = [abs(part) for part in minor(units, "EUR").allocate([1] * n)]
    assert parts == sorted(parts, reverse=True)
    assert parts[0] - parts[-1] <= Money("0.01", "EUR")


def test_ten_euros_in_three_parts() -> None:
    assert Money("10", "EUR").allocate([1, 1, 1]) == [Money("3.34", "EUR"), Money("3.33", "EUR"), Money("3.33", "EUR")]
    assert Money("-10", "JPY").allocate([3, 0, 3, 3]) == [Money(n, "JPY") for n in (-4, 0, -3, -3)]
    assert Money("0.05", "EUR").allocate([3, 7]) == [Money("0.02", "EUR"), Money("0.03", "EUR")]


def test_g7_12000_with_a_half_life_of_seven_days_is_allocated_to_the_cent() -> None:
    touches = (0, 5, 12, 30, 38)
    with localcontext(prec=40):
        weights = [Decimal(2) ** (Decimal(day - 38) / 7) for day in touches]
    parts = Money("12000.00", "EUR").allocate(weights)
    assert [int(part.rounded(0).amount) for part in parts] == [175, 287, 575, 3417, 7545]
    assert Money.sum(parts, "EUR") == Money("12000.00", "EUR")


@pytest.mark.parametrize(
    "bad", [[-1, 2], [0.5, 0.5], [True], ["1"], [Decimal("NaN")], [Decimal("Infinity")], [Decimal("1e1000000")], [None]]
)
def test_ratios_that_are_no_shares_are_refused(bad: Any) -> None:
    with pytest.raises(Invalid) as error:
        Money("10", "EUR").allocate(bad)
    assert error.value.code == "bad_ratio"


@pytest.mark.parametrize("zero", [[], [0], [0, 0], [Decimal("0.00")]])
def test_ratios_without_a_sum_are_refused(zero: Any) -> None:
    with pytest.raises(Invalid) as error:
        Money("10", "EUR").allocate(zero)
    assert error.value.code == "zero_ratios"


def test_an_amount_finer_than_the_minor_unit_must_be_rounded_before_it_is_allocated() -> None:
    with pytest.raises(Invalid) as error:
        Money("10.005", "EUR").allocate([1, 1])
    assert error.value.code == "too_precise"
