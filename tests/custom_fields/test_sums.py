"""[C76] Sums, bounds and groups over custom fields: exact, in the field's currency, and never of what the values are kept as."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Float, Integer, case, cast, distinct, func, select, type_coerce

from crm_core import CRM, Account, Actor, CRMError, Invalid, Money, Role
from crm_core.testing.databases import Databases
from crm_core.testing.plugin import filled

ADMIN = Actor.system("setup", tenant="acme")
REP = Actor("7", tenant="acme", roles={"rep"})
STRANGER = Actor.system("setup", tenant="other")
BUDGETS = ("0.10", "0.20", "90071992547409.93", None)
WEIGHTS = ("1.125", None, "-2.5", "0.375")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crm(request: pytest.FixtureRequest) -> Iterator[CRM]:
    databases: Databases = request.getfixturevalue("sqlite_databases" if request.param == "sqlite" else "postgres_databases")
    crm, database = filled(databases, plugins=[], roles=[Role("rep").allow(Account, "read", fields={"custom.budget": "none"})])
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "budget", kind="money", currency="EUR", scale=2)
        s.custom_fields.add(Account, "other", kind="money", currency="USD", scale=2)
        s.custom_fields.add(Account, "weight", kind="decimal", scale=3)
        s.custom_fields.add(Account, "pieces", kind="integer", max=9)
        s.custom_fields.add(Account, "paid", kind="boolean")
        s.custom_fields.add(Account, "day", kind="date")
        s.custom_fields.add(Account, "tier", kind="choice", options=["gold", "tin"])
        for n, (budget, weight) in enumerate(zip(BUDGETS, WEIGHTS, strict=True)):
            values = {
                "budget": budget and Money(budget, "EUR"),
                "weight": weight,
                "pieces": n + 6,
                "paid": n > 1,
                "day": date(2026, 1, n + 1),
            }
            s.create(Account(name=f"a{n}", custom={**values, "tier": ("gold", "tin")[n % 2]}))
    with crm.session(STRANGER) as s:
        s.custom_fields.add(Account, "budget", kind="money", currency="JPY", scale=0)
        s.create(Account(name="theirs", custom={"budget": Money(5, "JPY")}))
    yield crm
    crm.close()
    databases.drop(database)


def column(s: Any, name: str) -> Any:
    return s.custom_fields.column(Account, name)


def test_amounts_and_numbers_are_added_and_bounded_exactly(crm: CRM) -> None:
    with crm.session(ADMIN, write=False) as s:
        budget, weight = column(s, "budget"), column(s, "weight")
        one = s.execute(
            select(func.sum(budget), func.min(budget), func.max(budget), func.count(budget), func.count(distinct(budget)))
        ).one()
        known = [Money(b, "EUR") for b in BUDGETS if b]
        assert tuple(one) == (Money("90071992547410.23", "EUR"), min(known, key=lambda m: m.amount), known[2], 3, 3)
        assert tuple(s.execute(select(func.sum(weight), func.min(weight), func.max(weight))).one()) == (
            Decimal("-1.000"),
            Decimal("-2.500"),
            Decimal("1.125"),
        )
        days = s.execute(
            select(func.min(column(s, "day")), func.max(column(s, "paid")), func.avg(column(s, "pieces"), type_=Float()))
        ).one()
        assert tuple(days) == (date(2026, 1, 1), True, 7.5)


def test_groups_have_their_own_sums_which_are_compared_with_values_of_the_field(crm: CRM) -> None:
    with crm.session(ADMIN, write=False) as s:
        budget, tier, total = column(s, "budget"), column(s, "tier"), func.sum(column(s, "budget"))
        grouped = select(tier, total).group_by(tier).order_by(tier)
        assert [tuple(row) for row in s.execute(grouped)] == [("gold", Money("90071992547410.03", "EUR")), ("tin", Money("0.20", "EUR"))]
        assert [row[0] for row in s.execute(grouped.having(total > Money(1, "EUR")))] == ["gold"]
        assert [row[0] for row in s.execute(grouped.having(total <= {"amount": "1", "currency": "EUR"}))] == ["tin"]
        few = case((column(s, "pieces") < 8, budget))
        assert s.execute(select(func.sum(few))).scalar_one() == Money("0.30", "EUR")
        inner = select(budget.label("b")).subquery()
        assert s.execute(select(func.sum(inner.c.b)).where(inner.c.b < Money(1, "EUR"))).scalar_one() == Money("0.30", "EUR")
        pieces = func.sum(column(s, "pieces"))
        assert s.execute(select(pieces).having(pieces > 20)).scalar_one() == 30  # beyond what one value may be


WRONG: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "the size of an amount": (lambda s: func.abs(column(s, "budget")), "custom_function"),
    "an amount rounded": (lambda s: func.round(column(s, "budget")), "custom_function"),
    "the mean of amounts": (lambda s: func.avg(column(s, "budget"), type_=Float()), "custom_function"),
    "the mean of decimals": (lambda s: func.avg(column(s, "weight"), type_=Float()), "custom_function"),
    "the sum of days": (lambda s: func.sum(column(s, "day")), "custom_function"),
    "the sum of answers": (lambda s: func.sum(column(s, "paid")), "custom_function"),
    "the sum of texts": (lambda s: func.sum(column(s, "tier")), "custom_function"),
    "the length of an amount": (lambda s: func.length(column(s, "budget")), "custom_function"),
    "an amount as a whole number": (lambda s: cast(column(s, "budget"), Integer), "forbidden_cast"),
    "a decimal taken for a whole number": (lambda s: type_coerce(column(s, "weight"), Integer), "forbidden_cast"),
    "the first of several, untyped": (lambda s: func.nullif(column(s, "budget"), column(s, "budget")), "untyped_function"),
    "a number in place of an amount": (lambda s: func.coalesce(column(s, "budget"), 5), "custom_operator"),
    "one currency in place of another": (lambda s: func.coalesce(column(s, "budget"), column(s, "other")), "custom_operator"),
    "a case of two currencies": (
        lambda s: case((column(s, "pieces") < 8, column(s, "budget")), else_=column(s, "other")),
        "custom_operator",
    ),
    "a sum beside one in another currency": (lambda s: func.sum(column(s, "budget")) > func.sum(column(s, "other")), "custom_operator"),
    "a sum beside another field": (lambda s: func.sum(column(s, "weight")) > func.sum(column(s, "pieces")), "custom_operator"),
    "a span": (lambda s: func.max(column(s, "budget")) - func.min(column(s, "budget")), "custom_operator"),
    "a sum doubled": (lambda s: func.sum(column(s, "budget")) * 2, "custom_operator"),
    "a sum beside another currency": (lambda s: func.sum(column(s, "budget")) > Money(1, "USD"), "custom_currency"),
    "a sum beside a number": (lambda s: func.sum(column(s, "budget")) > 3, "wrong_type"),
    "a sum beside what is too exact": (lambda s: func.sum(column(s, "weight")) > Decimal("0.0001"), "too_precise"),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_would_be_of_the_kept_number_is_refused(crm: CRM, said: str) -> None:
    make, code = WRONG[said]
    with crm.session(ADMIN, write=False) as s, pytest.raises(CRMError) as refused:
        s.execute(select(make(s)))
    assert code in (refused.value.code, *(d.code for d in refused.value.details))


def test_who_may_not_read_a_field_sums_nothing_and_another_tenant_nothing_of_another_currency(crm: CRM) -> None:
    with crm.session(ADMIN, write=False) as s:
        statement = select(func.sum(column(s, "budget")), func.count(column(s, "budget")))
        ordered = s.query(Account).order_by(column(s, "budget").desc())
        assert s.execute(statement).one()[1] == 3
        assert ordered.count() == 4
    with crm.session(REP, write=False) as s:
        assert tuple(s.execute(statement).one()) == (None, 0)
        with pytest.raises(Invalid):
            column(s, "budget")
    with crm.session(STRANGER, write=False) as s:
        assert tuple(s.execute(statement).one()) == (None, 0)
        assert s.execute(select(func.sum(column(s, "budget")))).scalar_one() == Money(5, "JPY")


def test_a_statement_from_before_a_field_was_deleted_finds_what_stands_under_its_name_now(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "short", kind="money", currency="EUR", scale=2)
        account = s.query(Account).first()
        assert account is not None
        s.update(Account, account.id, {"custom.short": Money("7.50", "EUR")})
        statement = select(func.sum(column(s, "short")))
        assert s.execute(statement).scalar_one() == Money("7.50", "EUR")
        assert s.custom_fields.delete(Account, "short", with_data=True) == 1
        assert s.execute(statement).scalar_one() is None
        with pytest.raises(Invalid) as e:
            s.custom_fields.add(Account, "short", kind="money", currency="JPY", scale=0)
        assert [d.code for d in e.value.details] == ["custom_name_used"]
        s.custom_fields.add(Account, "short", kind="money", currency="EUR", scale=2)
        assert s.execute(statement).scalar_one() is None
        s.update(Account, account.id, {"custom.short": Money("9.00", "EUR")})
        assert s.execute(statement).scalar_one() == Money("9.00", "EUR")
        s.custom_fields.retire(Account, "short")
        assert s.execute(statement).scalar_one() is None
