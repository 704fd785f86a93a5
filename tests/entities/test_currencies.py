"""The currencies that an amount can be in."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core.entities.currencies import CURRENCIES, minor_units
from crm_core.errors import Invalid

SUGGESTIONS: list[tuple[Any, str]] = [
    ("EUT", "EUR"),
    ("eur", "EUR"),
    (" USD ", "USD"),
    ("RMB", ""),
    ("", ""),
    (None, ""),
    (7, ""),
    ([], ""),
]


def test_the_minor_unit_has_as_many_digits_as_the_coins() -> None:
    known = {"EUR": 2, "USD": 2, "CNY": 2, "JPY": 0, "KRW": 0, "KWD": 3, "TND": 3, "CLF": 4}
    assert {code: minor_units(code) for code in known} == known


def test_the_table_has_every_code_with_a_minor_unit_and_its_number_once() -> None:
    assert len(CURRENCIES) == 165
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCIES)
    numbers = [number for number, _ in CURRENCIES.values()]
    assert len(set(numbers)) == 165
    assert all(len(number) == 3 and number.isdigit() for number in numbers)


@pytest.mark.parametrize("code", ["XXX", "XTS", "XAU", "XDR", "BGN", "DEM"])
def test_codes_without_a_minor_unit_and_currencies_of_the_past_are_not_accepted(code: str) -> None:
    with pytest.raises(Invalid):
        minor_units(code)


@pytest.mark.parametrize(("given", "suggestion"), SUGGESTIONS)
def test_an_unknown_code_is_refused_with_the_one_probably_meant(given: Any, suggestion: str) -> None:
    with pytest.raises(Invalid) as error:
        minor_units(given)
    assert error.value.code == "bad_currency"
    if suggestion:
        assert f"Did you mean {suggestion}?" in str(error.value)


def test_a_huge_code_is_refused_in_a_short_message() -> None:
    with pytest.raises(Invalid) as error:
        minor_units("E" * 50_000_000)
    assert len(str(error.value)) < 100
