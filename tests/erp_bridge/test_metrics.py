"""What the ERP's facts are measured by, recomputed in plain SQL."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from crm_analytics import plugin as analytics
from crm_analytics.api import Analytics, Report
from crm_core import CRM, Account, Actor, Money, Runtime
from crm_erp_bridge import plugin
from crm_erp_bridge.api import Invoice, InvoiceKind, Order, OrderKind, OrderStatus, Payment

ADMIN = Actor.system("test", tenant="main")


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    """A year of three customers, drawn from a fixed seed."""
    crm: CRM = make_crm(plugins=[plugin, analytics], runtime=Runtime.seeded(4))
    chance = crm.runtime.random
    with crm.session(ADMIN) as s:
        accounts = [s.create(Account(name=name)).ref for name in ("Acme", "Beta", "Gamma")]

        def money() -> Money:
            return Money(Decimal(chance.randrange(1, 1_000_000)).scaleb(-2), chance.choice(["EUR", "USD"]))

        def day() -> date:
            return date(2025, chance.randrange(1, 13), chance.randrange(1, 29))

        kinds, states = list(OrderKind), list(OrderStatus)
        s.create_many(
            Order(
                number=f"SO-{n}",
                account=chance.choice(accounts),
                ordered_on=day(),
                kind=chance.choice(kinds),
                status=chance.choice(states),
                total=money(),
            )
            for n in range(120)
        )
        for n in range(40):
            total = money()
            left = total / 2 if n % 3 else None
            facts: dict[str, Any] = {
                "account": chance.choice(accounts),
                "kind": chance.choice(list(InvoiceKind)),
                "invoiced_on": day(),
                "due_on": day(),
            }
            s.create(Invoice(number=f"I-{n}", total=total, open_amount=left.rounded() if left else None, **facts))
            s.create(Payment(number=f"P-{n}", account=chance.choice(accounts), paid_on=day(), amount=money()))
    return crm


def plain(crm: CRM, entity: Any, columns: str, where: str = "1 = 1") -> list[tuple[Any, ...]]:
    """Ask the database itself; SQLite keeps amounts in millionths."""
    with crm.bound.begin(write=False) as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM {crm.table(entity).name} WHERE {where}"))]


def amount(crm: CRM, stored: Any) -> Decimal:
    return Decimal(stored).scaleb(-6) if crm.url.startswith("sqlite") else Decimal(stored)


def asked(crm: CRM, **report: Any) -> Any:
    with crm.session(ADMIN, write=False) as s:
        return s.use(Analytics).run(Report(**report))


def test_c04_c57_purchase_totals_by_customer_and_month_are_those_of_plain_sql(crm: CRM) -> None:
    counted = plain(crm, Order, "account, ordered_on, kind, total, total_currency", "status IN ('open', 'done')")
    expected: defaultdict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for account, on, kind, total, currency in counted:
        expected[str(account).replace("-", ""), str(on)[:7], currency] += amount(crm, total) * (1 if kind == "sale" else -1)
    table = asked(crm, metrics=["erp_bridge.purchase_total"], by=["erp_bridge.account"], grain="month")
    found = {(r.keys[0].id.replace("-", ""), r.period.label, r.currency): r["erp_bridge.purchase_total"].amount for r in table.rows}
    assert found == dict(expected)
    for total in table.totals:
        assert total["erp_bridge.purchase_total"].amount == sum(v for (_, _, c), v in expected.items() if c == total.currency)


@pytest.mark.parametrize(
    ("metric", "entity", "column", "where"),
    [
        ("ordered_value", Order, "total", "kind = 'sale' AND status IN ('open', 'done')"),
        ("returned_value", Order, "total", "kind = 'return' AND status IN ('open', 'done')"),
        ("invoiced_value", Invoice, "total", "kind = 'invoice'"),
        ("open_value", Invoice, "open_amount", "open_amount IS NOT NULL AND kind = 'invoice'"),
        ("paid_value", Payment, "amount", "1 = 1"),
    ],
)
def test_c04_c57_what_was_invoiced_paid_and_is_open_is_what_plain_sql_adds_up(
    crm: CRM, metric: str, entity: Any, column: str, where: str
) -> None:
    expected: defaultdict[str, Decimal] = defaultdict(Decimal)
    for stored, currency in plain(crm, entity, f"{column}, {column}_currency", where):
        expected[currency] += amount(crm, stored)
    name = f"erp_bridge.{metric}"
    assert len(expected) == 2
    assert {t.currency: t[name].amount for t in asked(crm, metrics=[name]).totals} == dict(expected)
    assert {t.currency: t[name].amount for t in asked(crm, metrics=[name], grain="quarter").totals} == dict(expected)


@pytest.mark.parametrize("currency", [None, "EUR"])
def test_c04_c57_returns_of_both_signs_add_up_by_their_amounts_in_reports(crm: CRM, currency: str | None) -> None:
    with crm.session(ADMIN) as s:
        s.update_where(s.query(Order), {"status": "cancelled"})
        account = s.create(Account(name="Delta")).ref
        for n, (kind, total) in enumerate([(OrderKind.SALE, "100.00"), (OrderKind.RETURN, "-30.00"), (OrderKind.RETURN, "20.01")]):
            facts: dict[str, Any] = {"account": account, "ordered_on": date(2025, 1, 1), "kind": kind}
            s.create(Order(number=f"D-{n}", total=Money(total, "EUR"), **facts))
    names = ["erp_bridge.returned_value", "erp_bridge.purchase_total"]
    (row,) = asked(crm, metrics=names, by=["erp_bridge.account"], currency=currency).rows
    assert [row[name] for name in names] == [Money("50.01", "EUR"), Money("49.99", "EUR")]


def test_c57_orders_are_counted_and_averaged(crm: CRM) -> None:
    sales = plain(crm, Order, "total, total_currency", "kind = 'sale' AND status IN ('open', 'done')")
    euros = [amount(crm, total) for total, currency in sales if currency == "EUR"]
    table = asked(crm, metrics=["erp_bridge.orders"])
    assert table.total["erp_bridge.orders"] == len(sales)
    row = next(t for t in asked(crm, metrics=["erp_bridge.orders", "erp_bridge.order_size"]).totals if t.currency == "EUR")
    assert row["erp_bridge.order_size"] == (Money(sum(euros), "EUR") / len(euros)).rounded()


def test_c05_purchases_of_the_erp_can_grade_customers(crm: CRM) -> None:
    from crm_analytics.api import Settings

    with crm.session(ADMIN) as s:
        s.change_settings(Settings, {"purchases": "erp_bridge.ordered_value", "customer": "erp_bridge.account", "grade_currency": None})
        s.update_where(s.query(Order).where(Order.total.currency != "EUR"), {"status": "cancelled"})
        assert s.use(Analytics).regrade(date(2026, 1, 1)) == 3
