"""Purchase history: the ERP's facts by customer, recomputable to the cent, seen as the actor may [C04]."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from crm_core import Account, Actor, Money, Session
from crm_erp_bridge.api import ErpBridge, Invoice, Order, OrderLine, PurchaseHistory
from tests.erp_bridge.conftest import OPERATOR, SYSTEM, Desk, customer, order


def invoice(id: str, **given: Any) -> dict[str, Any]:
    basis = {"id": id, "no": f"I-{id}", "customer": "C1", "kind": "I", "date": "2026-01-12", "total": "100.00", "currency": "EUR"}
    return {**basis, "open": "0.00", **given}


def payment(id: str, **given: Any) -> dict[str, Any]:
    basis = {"id": id, "no": f"P-{id}", "customer": "C1", "date": "2026-01-20", "amount": "100.00", "currency": "EUR"}
    return {**basis, **given}


def history(desk: Desk, actor: Actor = OPERATOR, account: int = 0) -> PurchaseHistory:
    with desk.crm.session(actor, write=False) as s:
        return s.use(ErpBridge).purchase_history(desk.accounts()[account])


def test_c04_orders_invoices_and_payments_of_a_customer_add_up_in_document_and_base_currency(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1"), customer("C2"))
    desk.drop(
        "order-1.json",
        order("1", date="2026-01-10", total="133.33", base="133.33"),
        order("2", date="2026-01-30", total="19.99", currency="USD", base="18.01", state="A"),
        order("3", date="2026-02-19", total="0.01", base="0.01"),
        order("4", date="2026-02-20", total="33.33", base="33.33", kind="R"),
        order("5", date="2025-01-01", state="X"),
        order("6", date="2026-03-01", state="Z"),
        order("7", customer="C2"),
    )
    desk.drop("invoice-1.json", invoice("1", order="1", total="133.33", open="33.33"), invoice("2", kind="C", total="33.33", open="0.00"))
    desk.drop("payment-1.json", payment("1", invoice="1", amount="100.00"))
    desk.sync.pull()
    found = history(desk)
    assert (found.orders, found.returns, found.first, found.last) == (3, 1, date(2026, 1, 10), date(2026, 2, 19))
    assert found.lifetime == {"EUR": Money("100.01", "EUR"), "USD": Money("19.99", "USD")}
    assert found.lifetime_base == Money("118.02", "EUR")
    assert found.interval == timedelta(days=20), "40 days between the first and the third"
    assert (found.invoiced, found.paid) == ({"EUR": Money("100.00", "EUR")}, {"EUR": Money("100.00", "EUR")})
    assert found.balance == {"EUR": Money("33.33", "EUR")}
    with desk.crm.session(SYSTEM) as s:
        assert s.query(Invoice).where(Invoice.order.is_not(None)).one().order is not None


@pytest.mark.parametrize("sign", ["", "-"])
def test_c04_what_is_left_of_a_credit_note_lessens_the_balance_whichever_sign_the_erp_gives_it(desk: Desk, sign: str) -> None:
    desk.drop("customer-1.json", customer("C1"))
    desk.drop(
        "invoice-1.json",
        invoice("1", open="80.00"),
        invoice("2", kind="C", total=f"{sign}30.00", open=f"{sign}30.00"),
        invoice("3", kind="C", total=f"{sign}5.00", open=f"{sign}5.00", currency="USD"),
    )
    desk.sync.pull()
    assert history(desk).balance == {"EUR": Money("50.00", "EUR"), "USD": Money("-5.00", "USD")}


def test_c04_returns_of_two_erps_with_unlike_signs_on_one_customer_each_lessen_what_was_bought(desk: Desk) -> None:
    """One ERP writes what came back below zero, the other does not: they must not cancel each other out."""
    desk.drop("customer-1.json", customer("C1"))
    desk.drop(
        "order-1.json",
        order("1", total="100.00", base="100.00"),
        order("2", kind="R", total="-30.00", base="-30.00"),
        order("3", kind="R", total="20.00", base="20.00"),
    )
    desk.drop(
        "invoice-1.json",
        invoice("1", total="100.30", open="40.30"),
        invoice("2", kind="C", total="-30.00", open="-10.00"),
        invoice("3", kind="C", total="20.00", open="5.00"),
    )
    desk.sync.pull()
    found = history(desk)
    assert (found.lifetime, found.lifetime_base) == ({"EUR": Money("50.00", "EUR")}, Money("50.00", "EUR"))
    assert (found.invoiced, found.balance) == ({"EUR": Money("50.30", "EUR")}, {"EUR": Money("25.30", "EUR")})


def test_c04_the_figures_are_those_of_a_walk_over_all_facts(desk: Desk) -> None:
    """Seed 1, 200 orders of 4 customers in 3 currencies, drawn from the CRM's own chance."""
    chance = desk.crm.runtime.random
    rows, expected = [], defaultdict[tuple[str, str], Decimal](Decimal)
    for n in range(200):
        who, currency, kind = f"C{chance.randrange(4)}", chance.choice(["EUR", "USD", "CNY"]), chance.choice("SSSR")
        total = Decimal(chance.randrange(1, 10_000_000)).scaleb(-2)
        rows.append(order(str(n), who, total=str(total), currency=currency, kind=kind, base=None))
        expected[who, currency] += total if kind == "S" else -total
    desk.drop("customer-1.json", *[customer(f"C{n}") for n in range(4)])
    desk.drop("order-1.json", *rows)
    desk.sync.pull()
    for n in range(4):
        found = history(desk, account=n)
        assert {c: m.amount for c, m in found.lifetime.items()} == {c: v for (who, c), v in expected.items() if who == f"C{n}"}
        assert found.lifetime_base is None, "the ERP states no amounts in its base currency, and none are made up"
        assert found.orders + found.returns == sum(r["customer"] == f"C{n}" for r in rows)


def test_c04_an_amount_that_the_erp_computed_is_kept_even_where_it_does_not_add_up(desk: Desk) -> None:
    desk.drop("customer-1.json", customer())
    desk.drop("order-1.json", order("1", total="141.98", base="142.03"))
    line = {"id": "L1", "order": "1", "pos": 1, "item": "P1", "qty": "10", "price": "12.3456", "total": "123.50"}
    desk.drop("line-1.json", line)
    desk.sync.pull()
    with desk.crm.session(SYSTEM) as s:
        kept = s.query(OrderLine).one()
        assert (kept.quantity, kept.price, kept.total) == (Decimal(10), Money("12.3456", "EUR"), Money("123.50", "EUR"))
        found = s.query(Order).one()
        assert (found.total, found.base_total) == (Money("141.98", "EUR"), Money("142.03", "EUR"))


def test_c04_without_purchases_there_is_nothing_to_say(desk: Desk) -> None:
    desk.drop("customer-1.json", customer())
    desk.sync.pull()
    found = history(desk)
    assert (found.orders, found.first, found.interval, found.lifetime, found.lifetime_base) == (0, None, None, {}, None)


@pytest.mark.parametrize(("roles", "count"), [({"erp_bridge.reader"}, 1), (set(), 0)])
def test_c02_c04_the_panel_beside_a_customer_shows_what_its_reader_may_see(desk: Desk, roles: set[str], count: int) -> None:
    desk.drop("customer-1.json", customer())
    desk.drop("order-1.json", order("1"))
    desk.sync.pull()
    shown = panel(desk, Actor("9", roles=roles))
    assert (shown["count"], len(shown["orders"]), len(shown["lifetime"])) == (count, count, count)


def panel(desk: Desk, actor: Actor) -> dict[str, Any]:
    (account,) = desk.accounts()
    (found,) = [p for p in desk.crm.registry.panels(Account) if p.plugin == "erp_bridge"]

    def show(s: Session) -> dict[str, Any]:
        return dict(found.fn(s, account))

    with desk.crm.session(actor, write=False) as s:
        return show(s)
