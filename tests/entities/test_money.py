"""Money is exact: nothing is lost, nothing made, and unlike currencies never meet."""

from __future__ import annotations

import copy
import json
import operator
import pickle
import time
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import Any

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crm_core.entities.currencies import CURRENCIES
from crm_core.entities.money import LIMIT, Money, quantize_half_up, read_decimal
from crm_core.errors import CRMError, Invalid, MixedCurrency, WrongArgument
from tests.threads import at_once

CODES = sorted(CURRENCIES)
amounts = st.decimals(min_value=-(10**12), max_value=10**12, places=6)
moneys = st.builds(Money, amounts, st.sampled_from(CODES))


@pytest.mark.parametrize("amount", ["12", "12.0", "12.000000", "1.2e1", " 12 ", 12, Decimal("12.00")])
def test_one_value_has_one_form(amount: Any) -> None:
    money = Money(amount, "EUR")
    assert (str(money), repr(money), str(money.amount)) == ("EUR 12.00", "Money('12.00', 'EUR')", "12.00")
    assert money == Money("12", "EUR")
    assert hash(money) == hash(Money("12", "EUR"))


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1234567.5", "JPY", "JPY 1234567.5"),
        ("1234567", "JPY", "JPY 1234567"),
        ("1", "KWD", "KWD 1.000"),
        ("0.0350", "EUR", "EUR 0.035"),
        ("-0", "EUR", "EUR 0.00"),
        ("1e17", "EUR", "EUR 100000000000000000.00"),
        ("0e1000000", "EUR", "EUR 0.00"),
        ("0e-1000000", "EUR", "EUR 0.00"),
        ("0.000000000000000001", "EUR", "EUR 0.000000000000000001"),
    ],
)
def test_the_text_has_at_least_the_digits_of_the_minor_unit(amount: str, currency: str, text: str) -> None:
    assert str(Money(amount, currency)) == text


HOSTILE: dict[str, tuple[Any, str]] = {
    "1e1000000": ("1e1000000", "too_big"),
    "-1e1000000": ("-1e1000000", "too_big"),
    "Decimal 1e1000000": (Decimal("1e1000000"), "too_big"),
    "1e400": ("1e400", "too_big"),
    "10**18": (10**18, "too_big"),
    "10**1000000": (10**1_000_000, "too_big"),
    "1e-1000000": ("1e-1000000", "too_precise"),
    "19 places": ("0." + "1" * 19, "too_precise"),
    "NaN": ("NaN", "not_finite"),
    "sNaN": (Decimal("sNaN"), "not_finite"),
    "Infinity": ("Infinity", "not_finite"),
    "-Infinity": (Decimal("-Infinity"), "not_finite"),
    "50 MB": ("9" * 50_000_000, "too_long"),
    "words": ("twelve", "wrong_type"),
    "empty": ("", "wrong_type"),
    "float": (0.1, "wrong_type"),
    "bool": (True, "wrong_type"),
    "None": (None, "wrong_type"),
    "bytes": (b"12", "wrong_type"),
}


@pytest.mark.parametrize(("amount", "code"), HOSTILE.values(), ids=HOSTILE)
def test_an_amount_that_is_no_exact_number_is_refused_at_once(amount: Any, code: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(Invalid) as error:
        Money(amount, "EUR")
    assert error.value.code == code
    assert time.perf_counter() - begin < 0.05
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("currency", ["EUT", "eur", "", None])
def test_an_unknown_currency_is_refused(currency: Any) -> None:
    with pytest.raises(Invalid) as error:
        Money("1", currency)
    assert error.value.code == "bad_currency"


@given(st.lists(amounts, max_size=50), st.sampled_from(CODES))
def test_a_sum_is_exact_in_any_order(values: list[Decimal], currency: str) -> None:
    total = Money.sum((Money(v, currency) for v in values), currency)
    assert Fraction(total.amount) == sum(map(Fraction, values))
    assert Money.sum((Money(v, currency) for v in reversed(values)), currency) == total


def test_a_sum_of_numbers_with_35_digits_loses_none_whatever_the_threads_context() -> None:
    with localcontext(prec=5):
        assert Money("123456789012345678.000001", "EUR") + Money("0.000000000001", "EUR") == Money("123456789012345678.000001000001", "EUR")


def test_a_tenth_and_two_tenths_are_three_tenths() -> None:
    assert Money("0.1", "EUR") + Money("0.2", "EUR") == Money("0.3", "EUR")


@given(moneys, st.data())
def test_adding_and_subtracting_undo_each_other(one: Money, data: st.DataObject) -> None:
    two = Money(data.draw(amounts), one.currency)
    assert one + two - two == one
    assert one + two == two + one
    assert one - two == -(two - one)
    assert one + -one == Money.zero(one.currency)


@given(moneys, st.integers(-(10**5), 10**5))
def test_multiplying_by_an_integer_is_repeated_addition(money: Money, factor: int) -> None:
    assert Fraction((money * factor).amount) == Fraction(money.amount) * factor
    assert factor * money == money * factor


@given(moneys, st.decimals(-1000, 1000, places=6))
def test_multiplying_by_a_rate_is_exact(money: Money, rate: Decimal) -> None:
    assert Fraction((money * rate).amount) == Fraction(money.amount) * Fraction(rate)


@given(moneys, st.decimals(-1000, 1000, places=6).filter(bool))
def test_a_quotient_is_the_nearest_at_the_18th_digit(money: Money, divisor: Decimal) -> None:
    exact = Fraction(money.amount) / Fraction(divisor)
    assume(abs(exact) < 10**18)  # beyond it the quotient is refused, as any amount
    assert abs(Fraction((money / divisor).amount) - exact) <= Fraction(1, 2 * 10**18)


def test_dividing_by_zero_is_an_error_of_ours() -> None:
    for zero in (0, Decimal(0)):
        with pytest.raises(Invalid) as error:
            Money("1", "EUR") / zero
        assert error.value.code == "division_by_zero"


@pytest.mark.parametrize("factor", [0.5, True, "2", None, Money("1", "EUR")])
def test_only_exact_numbers_scale_money(factor: Any) -> None:
    with pytest.raises(TypeError):
        Money("1", "EUR") * factor
    with pytest.raises(TypeError):
        Money("1", "EUR") / factor


@pytest.mark.parametrize(
    ("factor", "code"),
    [(Decimal("NaN"), "not_finite"), (Decimal("sNaN"), "not_finite"), (Decimal("1e1000000"), "too_big"), (10**18, "too_big")],
)
def test_a_factor_without_measure_is_refused(factor: Any, code: str) -> None:
    operations: list[Callable[[], Any]] = [lambda: Money("1", "EUR") * factor, lambda: Money("1", "EUR") / factor]
    for operate in operations:
        with pytest.raises(Invalid) as error:
            operate()
        assert error.value.code == code


def test_a_result_beyond_the_limit_is_refused() -> None:
    most = Money(LIMIT - 1, "EUR")
    operations: list[Callable[[], Any]] = [lambda: most + most, lambda: most * 2, lambda: most / Decimal("0.1"), lambda: -most - most]
    for operate in operations:
        with pytest.raises(Invalid) as error:
            operate()
        assert error.value.code == "too_big"


UNLIKE: dict[str, Callable[[Money, Money], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "sorted": lambda a, b: sorted([a, b]),
    "max": lambda a, b: max(a, b),
    "sum": lambda a, b: Money.sum([a, b], "EUR"),
    "sum of another": lambda a, b: Money.sum([b], "EUR"),
}


@pytest.mark.parametrize("operate", UNLIKE.values(), ids=UNLIKE)
@pytest.mark.parametrize("amount", ["0", "5"])
def test_unlike_currencies_never_add_compare_or_sort(operate: Callable[[Money, Money], Any], amount: str) -> None:
    with pytest.raises(MixedCurrency) as error:
        operate(Money(amount, "EUR"), Money(amount, "USD"))
    assert {error.value.params["one"], error.value.params["other"]} == {"EUR", "USD"}
    assert "EUR" in str(error.value)


def test_unlike_currencies_are_unequal() -> None:
    assert Money("5", "EUR") != Money("5", "USD")
    assert Money("0", "EUR") != Money("0", "USD")
    assert len({Money("5", "EUR"), Money("5.00", "EUR"), Money("5", "USD")}) == 2


@pytest.mark.parametrize("other", [5, Decimal(5), "EUR 5.00", None, 0])
def test_money_and_a_bare_number_are_unequal_and_never_add_or_compare(other: Any) -> None:
    money = Money("5", "EUR")
    assert money != other
    operations: list[Callable[[], Any]] = [
        lambda: money + other,
        lambda: other + money,
        lambda: money - other,
        lambda: money < other,
        lambda: money <= other,
        lambda: money > other,
        lambda: money >= other,
    ]
    for operate in operations:
        with pytest.raises(TypeError):
            operate()


@given(st.lists(amounts, min_size=1), st.sampled_from(CODES))
def test_money_of_one_currency_sorts_like_its_amounts(values: list[Decimal], currency: str) -> None:
    assert [m.amount for m in sorted(Money(v, currency) for v in values)] == sorted(values)


def test_sign_and_truth() -> None:
    money = Money("-5", "EUR")
    assert (abs(money), -money) == (Money("5", "EUR"), Money("5", "EUR"))
    assert bool(money) is True
    assert bool(Money.zero("EUR")) is False


@pytest.mark.parametrize(
    ("rule", "results"),
    [
        ("half_up", ["2.35", "-2.35", "2.34"]),
        ("half_even", ["2.34", "-2.34", "2.34"]),
        ("up", ["2.35", "-2.35", "2.35"]),
        ("down", ["2.34", "-2.34", "2.34"]),
        ("ceiling", ["2.35", "-2.34", "2.35"]),
        ("floor", ["2.34", "-2.35", "2.34"]),
    ],
)
def test_rounding_follows_the_named_rule(rule: Any, results: list[str]) -> None:
    assert [str(Money(a, "EUR").rounded(rule=rule).amount) for a in ("2.345", "-2.345", "2.344")] == results


def test_rounding_goes_to_the_minor_unit_unless_told_otherwise() -> None:
    assert Money("2.5", "JPY").rounded() == Money("3", "JPY")
    assert Money("1.23456", "KWD").rounded() == Money("1.235", "KWD")
    assert Money("1.23456", "EUR").rounded(4) == Money("1.2346", "EUR")
    assert Money("12345", "EUR").rounded(-3) == Money("12000", "EUR")
    with pytest.raises(Invalid):
        Money("1", "EUR").rounded(10**9)


@given(amounts, st.integers(0, 6))
def test_half_up_rounding_is_the_nearest_with_halves_away_from_zero(value: Decimal, places: int) -> None:
    rounded = quantize_half_up(value, places)
    unit = Fraction(1, 10**places)
    assert abs(Fraction(rounded) - Fraction(value)) <= unit / 2
    assert quantize_half_up(-value, places) == -rounded
    with localcontext(prec=60):
        assert rounded == value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e1000000"])
def test_half_up_rounding_refuses_what_is_no_measure(value: str) -> None:
    with pytest.raises(Invalid):
        quantize_half_up(Decimal(value), 2)


def test_a_number_is_read_exactly() -> None:
    assert read_decimal("0.1") == Decimal("0.1")
    assert read_decimal(7) == Decimal(7)


@given(moneys)
def test_money_goes_to_json_and_back_without_loss(money: Money) -> None:
    assert Money.from_json(json.loads(json.dumps(money.to_json()))) == money


def test_json_holds_the_amount_as_text() -> None:
    assert Money("12", "EUR").to_json() == {"amount": "12.00", "currency": "EUR"}
    assert Money.from_json({"amount": 12, "currency": "EUR"}) == Money("12", "EUR")


@pytest.mark.parametrize(
    "data",
    [
        None,
        "EUR 12",
        12,
        [],
        {},
        {"amount": "12"},
        {"amount": 0.1, "currency": "EUR"},
        {"amount": True, "currency": "EUR"},
        {"amount": None, "currency": "EUR"},
        {"amount": "12", "currency": []},
        {"amount": "12", "currency": "EUR", "rate": "1"},
    ],
)
def test_json_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(Invalid):
        Money.from_json(data)


@given(moneys)
def test_money_is_copied_and_pickled_whole(money: Money) -> None:
    assert pickle.loads(pickle.dumps(money)) == money
    assert copy.deepcopy(money) == money
    assert attrs.evolve(money, currency="EUR") == Money(money.amount, "EUR")


def test_money_does_not_change() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Money("1", "EUR").amount = Decimal(2)  # type: ignore[misc]  # that it cannot be set is the point
    assert not hasattr(Money("1", "EUR"), "__dict__")


def test_a_comma_in_the_format_groups_the_thousands() -> None:
    assert f"{Money('1234567.5', 'EUR')}" == "EUR 1234567.50"
    assert f"{Money('1234567.5', 'EUR'):,}" == "EUR 1,234,567.50"
    with pytest.raises(ValueError, match=r"not '\.1f'"):
        f"{Money('1', 'EUR'):.1f}"


def test_threads_that_share_no_context_get_the_same_results() -> None:
    def work(_: int) -> list[Money]:
        return [Money(n, "EUR") / 7 * 3 + Money("0.01", "EUR") for n in range(200)]

    results = at_once(work, range(8))
    assert len(results) == 8
    assert all(result == results[0] for result in results)


def test_every_refusal_is_an_error_with_a_message_in_both_languages() -> None:
    for amount, _ in HOSTILE.values():
        with pytest.raises(CRMError) as error:
            Money(amount, "EUR")
        assert error.value.message("en") != error.value.message("zh") != error.value.code


@pytest.mark.parametrize("other", [0, 1, 0.5, Decimal(1), True, "1", None])
@pytest.mark.parametrize("operate", [operator.add, operator.sub, operator.lt, operator.ge], ids=lambda operate: operate.__name__)
def test_a_plain_value_beside_money_is_refused_in_words(other: Any, operate: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(WrongArgument) as error:
        operate(Money("1", "EUR"), other)
    assert (error.value.code, error.value.params) == ("money_operand", {"given": type(other).__name__, "currency": "EUR"})
    assert 'write Money(..., "EUR")' in str(error.value)


def test_a_sum_that_begins_with_nought_says_how_money_is_added_up() -> None:
    with pytest.raises(WrongArgument, match=r"A list adds up with Money\.sum"):
        sum([Money("1", "EUR")])  # type: ignore[list-item]  # the mistake under test


def test_what_may_know_better_than_money_is_asked() -> None:
    class Column:
        def __gt__(self, other: Any) -> str:
            return f"column > {other}"

    assert operator.lt(Money("1", "EUR"), Column()) == "column > EUR 1.00"


@pytest.mark.parametrize("factor", [0.5, "2", None, Money("1", "EUR")])
def test_what_does_not_scale_money_is_named(factor: Any) -> None:
    for operate in (operator.mul, operator.truediv):
        with pytest.raises(WrongArgument, match=f"by an int or a Decimal, not by {type(factor).__name__}") as error:
            operate(Money("1", "EUR"), factor)
        assert error.value.code == "money_factor"
