"""Values as people write them: read exactly, or refused in words."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core import AccountKind, CRMError, Entity, Field, Invalid, Money, MoneyField, field
from crm_core.entities.meta import spec
from crm_core.io.mapping import Source, Written
from crm_core.io.values import number, reader


class Sample(Entity):
    text: Field[str]
    count: Field[int]
    weight: Field[Decimal]
    price: MoneyField
    ready: Field[bool]
    day: Field[date]
    at: Field[datetime]
    kind: Field[AccountKind]
    facts: Field[dict[str, Any]] = field(factory=dict)


def read(name: str, value: Any, written: Written | None = None, **source: Any) -> Any:
    return reader("sample", spec(Sample).fields[name], Source(column="x", **source), written or Written())(value)


@pytest.mark.parametrize(
    ("text", "point", "expected"),
    [
        ("1234.5", ".", "1234.5"),
        ("1,234.50", ".", "1234.50"),
        ("1.234,50", ",", "1234.50"),
        ("1 234,5", ",", "1234.5"),
        ("1\u00a0234\u202f567,8", ",", "1234567.8"),
        ("12'345.60", ".", "12345.60"),
        ("-0,5", ",", "-0.5"),
        ("+7", ".", "7"),
        (".5", ".", "0.5"),
        ("1e3", ".", "1000"),
        ("１２.５", ".", "12.5"),
    ],
)
def test_numbers_are_read_as_they_are_grouped(text: str, point: str, expected: str) -> None:
    assert number(text, point) == Decimal(expected)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        *[(t, ".") for t in ("12,50", "1,23,456", "", "-", ".", "abc", "NaN", "Infinity", "-inf", "0x10", "1_000", "1.2.3", "12 EUR")],
        *[(t, ",") for t in ("1.5", "1,2,3", "1.23.456,0")],
        ("9" * 65, "."),
    ],
)
def test_what_may_mean_two_numbers_or_none_is_refused(text: str, point: str) -> None:
    with pytest.raises(Invalid) as raised:
        number(text, point)
    assert raised.value.code == "import_bad_number"


@pytest.mark.parametrize("text", ["1e1000000", "1e400", "9" * 60, "-1e99"])
def test_huge_numbers_are_refused_at_once(text: str) -> None:
    for name in ("count", "weight", "price"):
        with pytest.raises(Invalid) as raised:
            read(name, text, currency="EUR")
        assert raised.value.code == "too_big"


@given(st.decimals(-(10**9), 10**9, places=4), st.sampled_from([(".", ","), (",", ".")]))
def test_a_number_written_with_groups_is_read_back(value: Decimal, points: tuple[str, str]) -> None:
    point, group = points
    text = f"{value:,.4f}".translate({ord(","): group, ord("."): point})
    assert number(text, point) == value


@pytest.mark.parametrize("text", ["7", "7.0", "1,000"])
def test_whole_numbers_may_have_a_point(text: str) -> None:
    assert read("count", text) == int(float(text.replace(",", "")))


def test_a_part_of_a_whole_is_refused() -> None:
    with pytest.raises(Invalid):
        read("count", "1.5")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("12.50", {"currency": "EUR"}, Money("12.50", "EUR")),
        ("USD 1,200", {"currency": "EUR"}, Money(1200, "USD")),
        ("1.200,5 CHF", {"decimal": ","}, Money("1200.5", "CHF")),
    ],
)
def test_money_takes_the_currency_beside_it_or_the_one_that_is_said(text: str, options: Any, expected: Money) -> None:
    assert read("price", text, **options) == expected


@pytest.mark.parametrize(
    ("text", "code"), [("12", "import_no_currency"), ("12 XQX", "bad_currency"), ("$12", "import_bad_number"), ("EUR", "import_bad_number")]
)
def test_money_whose_currency_is_not_clear_is_refused(text: str, code: str) -> None:
    with pytest.raises(CRMError) as raised:
        read("price", text, currency="" if text == "12" else "EUR")
    assert raised.value.code == code


@pytest.mark.parametrize(("text", "expected"), [("Yes", True), ("TRUE", True), ("1", True), ("n", False), ("False", False), ("0", False)])
def test_words_for_yes_and_no(text: str, expected: bool) -> None:
    assert read("ready", text) is expected


def test_another_word_for_yes_is_refused() -> None:
    with pytest.raises(Invalid):
        read("ready", "maybe")


def test_days_and_instants_are_iso_or_as_the_mapping_says() -> None:
    berlin = Written(dates=["%d.%m.%Y %H:%M", "%d.%m.%Y"], zone="Europe/Berlin")
    assert read("day", "2026-02-28") == date(2026, 2, 28)
    assert read("day", "28.02.2026", berlin) == date(2026, 2, 28)
    assert read("at", "2026-02-28T10:00:00Z") == datetime(2026, 2, 28, 10, tzinfo=UTC)
    assert read("at", "2026-02-28") == datetime(2026, 2, 28, tzinfo=UTC)
    assert read("at", "28.07.2026 12:30", berlin) == datetime(2026, 7, 28, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert read("at", "28.07.2026 12:30", berlin).astimezone(UTC).hour == 10


@pytest.mark.parametrize("text", ["28.02.2026", "2026-02-30", "yesterday", "2026"])
def test_a_day_in_another_form_is_refused_and_not_guessed(text: str) -> None:
    with pytest.raises(Invalid) as raised:
        read("day", text)
    assert raised.value.code == "import_bad_date"


def test_members_of_an_enum_are_known_by_value_or_name_in_any_capitals() -> None:
    assert {read("kind", t) for t in ("company", "COMPANY", "Company")} == {AccountKind.COMPANY}
    with pytest.raises(Invalid) as raised:
        read("kind", "compani")
    assert raised.value.params["suggestion"] == "company"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", 7, 7),
        ("count", Decimal("7.0"), 7),
        ("weight", 7, Decimal(7)),
        ("weight", Decimal("7.5"), Decimal("7.5")),
        ("ready", True, True),
        ("price", {"amount": "3.10", "currency": "EUR"}, Money("3.10", "EUR")),
        ("facts", {"a": [1]}, {"a": [1]}),
        ("text", 17, "17"),
        ("price", Decimal("2.5"), Money("2.5", "USD")),
    ],
)
def test_values_of_json_keep_their_types(name: str, value: Any, expected: Any) -> None:
    found = read(name, value, currency="USD" if name == "price" else "")
    assert (found, type(found)) == (expected, type(expected))


def test_json_in_a_cell_is_read_and_broken_json_refused() -> None:
    assert read("facts", '{"a": 1}') == {"a": 1}
    with pytest.raises(Invalid):
        read("facts", "{a: 1}")
