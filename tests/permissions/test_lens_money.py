"""Money in selects: exact, in one currency, and equal on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from crm_core.entities.columns import alias
from crm_core.entities.customer import ExchangeRate
from crm_core.entities.money import Money, quantize_half_up
from crm_core.errors import Invalid, MixedCurrency
from crm_core.permissions.money_sql import convert
from crm_core.storage.failures import translate
from crm_core.testing.databases import Database
from tests.permissions.lens_world import KINDS, NOW, Company, Deal, actor, new_id

ALL = KINDS[0]
RATES = [
    ("EUR", "USD", date(2026, 1, 1), "1.1"),
    ("EUR", "USD", date(2026, 6, 1), "1.234567891"),
    ("EUR", "USD", date(2026, 7, 1), "9"),
    ("JPY", "USD", date(2026, 1, 1), "0.006512345"),
    ("USD", "JPY", date(2026, 1, 1), "153.45"),
    ("EUR", "JPY", date(2026, 1, 1), "162.5"),
]


class Bank:
    """Deals of chosen amounts and rates of chosen days."""

    def __init__(self, database: Database) -> None:
        self.company = Company(database.engine(), firms=1, deals=0)
        self.lens = self.company.lens(ALL)
        self.numbers = iter(range(10**6, 10**7))

    def base(self, tenant: str) -> dict[str, Any]:
        stamps = {"created_at": NOW, "updated_at": NOW, "created_by": "u0", "updated_by": "u0", "deleted_at": None}
        return {"id": new_id(next(self.numbers)), "tenant": tenant, "version": 1, **stamps}

    def add_rates(self, rates: Sequence[tuple[str, str, date, str]], tenant: str = "one") -> None:
        rows = [
            self.base(tenant) | {"base": b, "quote": q, "valid_from": day, "rate": Decimal(r), "source": "test"} for b, q, day, r in rates
        ]
        with self.company.engine.begin() as connection:
            connection.execute(sa.insert(self.company.tables.entities[ExchangeRate]), rows)

    def add_deals(self, amounts: Sequence[Money], frozen: Money | None = None) -> None:
        facts = {"owner": "u0", "stage": "won", "chance": 1, "discount": Decimal(0), "closes": NOW.date(), "open": True, "facts": {}}
        rows = [
            self.base("one")
            | facts
            | {"name": str(i), "amount": money.amount, "amount_currency": money.currency}
            | {
                "amount_base": frozen.amount if frozen else None,
                "amount_base_currency": frozen.currency if frozen else None,
            }
            for i, money in enumerate(amounts)
        ]
        with self.company.engine.begin() as connection:
            table = self.company.tables.entities[Deal]
            connection.execute(sa.delete(table))
            connection.execute(sa.insert(table), rows)

    def ask(self, statement: Any) -> list[Any]:
        with self.company.engine.connect() as connection:
            try:
                return list(self.lens.execute(connection, statement, actor("u0")).scalars())
            except sa.exc.DBAPIError as error:
                raise translate(error) from error


@pytest.fixture
def bank(database: Database) -> Bank:
    return Bank(database)


def test_a_sum_of_money_is_exact(bank: Bank) -> None:
    bank.add_deals([Money("0.1", "EUR")] * 1000 + [Money("0.000001", "EUR")])
    assert bank.ask(select(Deal.amount.sum()).group_by(Deal.amount.currency)) == [Money("100.000001", "EUR")]


def test_a_sum_over_no_rows_is_none(bank: Bank) -> None:
    bank.add_deals([Money(1, "EUR")])
    assert bank.ask(select(Deal.amount.sum()).where(Deal.amount.currency == "USD")) == [None]
    assert bank.ask(select(Deal.amount.total("avg")).where(Deal.amount.currency == "USD")) == [None]


def test_an_average_is_rounded_half_up_at_the_scale(bank: Bank) -> None:
    cases = 0

    @given(st.lists(st.integers(-(10**13), 10**13), min_size=1, max_size=9))
    def check(units: list[int]) -> None:
        nonlocal cases
        cases += 1
        amounts = [Decimal(u).scaleb(-6) for u in units]
        bank.add_deals([Money(a, "EUR") for a in amounts])
        (got,) = bank.ask(select(Deal.amount.total("avg")).group_by(Deal.amount.currency))
        exact = sum(amounts, Decimal()) / len(amounts)
        assert abs(got - exact) <= Decimal("0.0000005")
        assert got == exact.quantize(Decimal("0.000001"), ROUND_HALF_UP)

    check()
    print(f"{cases} averages")


@pytest.mark.parametrize("units", [(1, 2), (-1, -2), (1, -2), (0, 1, 1, 0), (-1, 0, -1, -1)])
def test_a_half_in_an_average_goes_away_from_zero(bank: Bank, units: tuple[int, ...]) -> None:
    bank.add_deals([Money(Decimal(u).scaleb(-6), "EUR") for u in units])
    want = quantize_half_up(sum((Decimal(u).scaleb(-6) for u in units), Decimal(0)) / len(units), 6)
    assert bank.ask(select(Deal.amount.total("avg")).group_by(Deal.amount.currency)) == [want]


def test_a_sum_beyond_what_sqlite_can_hold_is_a_typed_error(bank: Bank) -> None:
    bank.add_deals([Money(9 * 10**12, "EUR")] * 3)
    statement = select(Deal.amount.sum()).group_by(Deal.amount.currency)
    if bank.company.engine.dialect.name == "postgresql":
        assert bank.ask(statement) == [Money(27 * 10**12, "EUR")]
    else:
        with pytest.raises(Invalid) as problem:
            bank.ask(statement)
        assert problem.value.code == "too_big"


def test_amounts_convert_at_the_newest_rate_of_the_day(bank: Bank) -> None:
    bank.add_rates(RATES)
    bank.add_rates([("EUR", "USD", date(2026, 6, 10), "777")], tenant="two")
    bank.add_deals([Money("100", "EUR"), Money("12345", "JPY"), Money("7.777777", "USD")])
    order = Deal.name
    assert bank.ask(select(Deal.amount.to("USD")).order_by(order)) == [Decimal("123.46"), Decimal("80.39"), Decimal("7.777777")]
    day = datetime(2026, 5, 31, 23, 59, tzinfo=UTC)
    assert bank.ask(select(Deal.amount.to("USD", at=day)).order_by(order).limit(1)) == [Decimal("110.00")]
    assert bank.ask(select(Deal.amount.to("JPY", at="today")).where(Deal.amount.currency != "JPY").order_by(order)) == [16250, 1193]


def test_converted_amounts_add_sort_and_compare(bank: Bank) -> None:
    bank.add_rates(RATES)
    bank.add_deals([Money("100", "EUR"), Money("12345", "JPY"), Money("-7.5", "USD")])
    dollars = Deal.amount.to("USD")
    assert bank.ask(select(func.sum(dollars))) == [Decimal("196.35")]
    assert bank.ask(select(dollars).where(dollars > Decimal(50)).order_by(dollars)) == [Decimal("80.39"), Decimal("123.46")]
    other = alias(Deal)
    assert bank.ask(select(func.max(other.amount.to("USD")))) == [Decimal("123.46")]


def test_the_amount_frozen_on_the_document_goes_before_any_rate(bank: Bank) -> None:
    bank.add_deals([Money("100", "USD")], frozen=Money("91.5", "EUR"))
    assert bank.ask(select(Deal.amount.to("EUR"))) == [Decimal("91.5")]
    bank.add_rates([("USD", "EUR", date(2026, 1, 1), "0.5"), ("USD", "JPY", date(2026, 1, 1), "2")])
    assert bank.ask(select(Deal.amount.to("EUR", at="today"))) == [Decimal(50)]
    assert bank.ask(select(Deal.amount.to("JPY"))) == [Decimal(200)]


def test_a_missing_rate_is_an_error_that_names_it(bank: Bank) -> None:
    bank.add_rates(RATES)
    bank.add_deals([Money("100", "EUR"), Money("1", "CHF")])
    with pytest.raises(Invalid) as problem:
        bank.ask(select(Deal.amount.to("USD")).order_by(Deal.name.desc()))
    assert problem.value.code == "missing_rate"
    assert problem.value.params == {"base": "CHF", "quote": "USD", "day": "2026-06-15"}


def test_two_amounts_do_not_meet_whose_currencies_may_differ(bank: Bank) -> None:
    bank.add_deals([Money("100", "EUR"), Money("1", "CHF")])
    other = alias(Deal)
    for statement in (
        select(Deal.name).where(Deal.amount.amount > Deal.amount.amount),
        select(Deal.name).join(other, Deal.amount.amount == other.amount.amount),
        select(Deal.amount.amount - Deal.amount.amount),
    ):
        with pytest.raises(MixedCurrency) as refused:
            bank.ask(statement)
        assert (refused.value.code, refused.value.params) == ("amounts_meet", {"field": "amount"})


def test_a_rate_that_begins_after_the_day_is_missing(bank: Bank) -> None:
    bank.add_rates([("EUR", "USD", date(2026, 6, 16), "2")])
    bank.add_deals([Money("100", "EUR")])
    with pytest.raises(Invalid, match="2026-06-15"):
        bank.ask(select(Deal.amount.to("USD")))


def test_a_product_beyond_what_a_column_holds_is_a_typed_error(bank: Bank) -> None:
    bank.add_rates([("EUR", "JPY", date(2026, 1, 1), "100000000")])
    bank.add_deals([Money(9 * 10**12, "EUR")])
    if bank.company.engine.dialect.name == "sqlite":
        with pytest.raises(Invalid) as problem:
            bank.ask(select(Deal.amount.to("JPY")))
        assert problem.value.code == "too_big"
    else:
        assert bank.ask(select(Deal.amount.to("JPY"))) == [Decimal(9 * 10**20)]


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**12), st.sampled_from([0, 2, 3, 4]))
def test_conversion_in_integers_is_decimal_arithmetic(amount: int, rate: int, places: int) -> None:
    exact = Decimal(amount).scaleb(-6) * Decimal(rate).scaleb(-9)
    got = convert(amount, rate, places, 6, 9)
    want = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    assert (got is None) == (abs(want.scaleb(6)) >= 2**63)
    assert got is None or Decimal(got).scaleb(-6) == want


def test_conversions_to_two_currencies_do_not_share_digits(bank: Bank) -> None:
    bank.add_rates(RATES)
    bank.add_deals([Money("10.01", "EUR")])
    assert bank.ask(select(Deal.amount.to("USD"))) == [Decimal("12.36")]
    assert bank.ask(select(Deal.amount.to("JPY"))) == [Decimal(1627)]
