"""Orders: made of an accepted quote to the cent, confirmed once, moved through declared states [C18]."""

from __future__ import annotations

import pytest

from crm_core import CRM, CRMError, Money, Refused, Session
from crm_sales.api import ConfirmOrder, LineDraft, Order, OrderLine, OrderStatus, PlaceOrder, Quote, QuoteLine, Sales
from tests.sales.desk import BOSS, START, at_once, deal, journal, rep


def accepted(s: Session) -> Quote:
    sales = s.use(Sales)
    lines = [LineDraft(description=str(n), price=Money(f"{n}.333333", "EUR")) for n in range(3)]
    return sales.accept(sales.send(sales.quote(deal(s), lines)))


def test_an_order_has_the_figures_of_its_quote_to_the_cent(crm: CRM) -> None:
    """[C18, G9]"""
    with crm.session(rep("A")) as s:
        quote = accepted(s)
        order = s.use(Sales).order(quote)
        assert (order.net, order.tax, order.total, order.rounding) == (quote.net, quote.tax, quote.total, quote.rounding)
        mine = [(x.description, x.quantity, x.unit_price, x.net) for x in s.query(OrderLine).order_by(OrderLine.position).all()]
        theirs = [(x.description, x.quantity, x.unit_price, x.net) for x in s.query(QuoteLine).order_by(QuoteLine.position).all()]
        assert mine == theirs


def test_a_quote_becomes_one_order_however_often_it_is_placed(crm: CRM) -> None:
    """[C18]"""
    with crm.session(rep("A")) as s:
        quote = accepted(s)
    orders = at_once(crm, lambda s: s.use(Sales).order(quote.ref).id, times=8)
    assert len(set(orders)) == 1
    with crm.session(BOSS) as s:
        assert (s.query(Order).count(), s.query(OrderLine).count()) == (1, 3)


def test_confirming_is_done_once(crm: CRM) -> None:
    """[C18]"""
    with crm.session(rep("A")) as s:
        order = s.use(Sales).order(accepted(s))
    at_once(crm, lambda s: s.use(Sales).confirm(order.ref).status, times=6)
    assert journal(crm, "sales.order_confirmed.v1") == 1
    with crm.session(rep("A")) as s:
        quote = s.get(Quote, order.quote.id)
        assert s.get(Order, order.id).confirmed_at == quote.sent_at == quote.accepted_at == START
        assert {line.tax_amount for line in s.query(OrderLine).all()} == {line.tax_amount for line in s.query(QuoteLine).all()}


def test_only_an_accepted_quote_becomes_an_order(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        sales = s.use(Sales)
        quote = sales.quote(deal(s), [LineDraft(price=Money(1, "EUR"))])
        for step in (lambda: None, lambda: sales.send(quote)):
            step()
            with pytest.raises(Refused) as refused:
                sales.order(quote.ref)
            assert refused.value.code == "sales.quote_not_accepted"


LEGAL = {
    OrderStatus.DRAFT: {OrderStatus.CONFIRMED, OrderStatus.CANCELLED},
    OrderStatus.CONFIRMED: {OrderStatus.PART_FULFILLED, OrderStatus.FULFILLED, OrderStatus.CANCELLED},
    OrderStatus.PART_FULFILLED: {OrderStatus.FULFILLED, OrderStatus.CLOSED},
    OrderStatus.FULFILLED: {OrderStatus.CLOSED},
    OrderStatus.CLOSED: set(),
    OrderStatus.CANCELLED: set(),
}
PATHS = {
    OrderStatus.DRAFT: [],
    OrderStatus.CONFIRMED: [OrderStatus.CONFIRMED],
    OrderStatus.PART_FULFILLED: [OrderStatus.CONFIRMED, OrderStatus.PART_FULFILLED],
    OrderStatus.FULFILLED: [OrderStatus.CONFIRMED, OrderStatus.FULFILLED],
    OrderStatus.CLOSED: [OrderStatus.CONFIRMED, OrderStatus.FULFILLED, OrderStatus.CLOSED],
    OrderStatus.CANCELLED: [OrderStatus.CANCELLED],
}


def test_an_order_moves_only_as_declared(crm: CRM) -> None:
    """[C18] Every state against every other."""
    with crm.session(rep("A")) as s:
        for start, path in PATHS.items():
            order = s.use(Sales).order(accepted(s))
            for step in path:
                s.use(Sales).move_order(order, step)
            for target in set(OrderStatus) - LEGAL[start] - {start}:
                with pytest.raises(Refused, match=r"sales\.order_move"):
                    s.use(Sales).move_order(order, target)
            assert s.get(Order, order.id).status is start


def test_nobody_makes_or_changes_an_order_by_hand(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        order = s.use(Sales).order(accepted(s))
        (line, *_) = s.query(OrderLine).all()
        for attempt in (
            lambda: s.update(Order, order.id, {"total": {"amount": "1", "currency": "EUR"}}),
            lambda: s.update(OrderLine, line.id, {"quantity": "9"}),
            lambda: s.delete(order),
        ):
            with pytest.raises(CRMError):
                attempt()
        assert s.get(Order, order.id) == order


def test_the_actions_do_the_same(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        order = s.perform(PlaceOrder(accepted(s).ref))
        assert s.perform(ConfirmOrder(order.ref)).status is OrderStatus.CONFIRMED
