"""An ERP that throttles: every stream has its turn, what was taken in is told, and a short wait is waited out [C63]."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from crm_core import Money
from crm_erp_bridge.api import ErpBridge, FolderDrop, Invoice, Parked, ParkedState, Payment, Run, Throttled
from tests.erp_bridge.conftest import OPERATOR, SYSTEM, Desk, MakeDesk, customer, order


class Throttling(FolderDrop):
    """Answers so many calls, then asks to come back."""

    left = 1000
    after = timedelta(minutes=1)
    refusals: int = 1000

    def read(self, *given: Any) -> Any:
        if self.left <= 0 and self.refusals > 0:
            self.refusals -= 1
            raise Throttled(self.after)
        self.left -= 1
        return super().read(*given)


@pytest.fixture
def throttled(make_desk: MakeDesk) -> tuple[Desk, Throttling]:
    desk = make_desk(longest_wait_seconds=2)
    connector = Throttling(desk.settings)
    desk.sync._channel.connector = connector
    return desk, connector


def invoice(id: str, **given: Any) -> dict[str, Any]:
    basis = {"id": id, "no": id, "customer": "C1", "order": "O1", "date": "2026-01-11", "kind": "I"}
    return {**basis, "total": "10.00", "open": "0.00", "currency": "EUR", **given}


def payment(id: str, **given: Any) -> dict[str, Any]:
    return {"id": id, "no": id, "customer": "C1", "invoice": "I1", "date": "2026-01-12", "amount": "10.00", "currency": "EUR", **given}


def fill(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1"))
    desk.drop("order-1.json", order("O1"))
    desk.drop("invoice-1.json", invoice("I1"))
    desk.drop("payment-1.json", payment("P1"))


def test_c63_a_throttled_pull_goes_on_where_it_stopped_and_keeps_its_counts(throttled: tuple[Desk, Throttling]) -> None:
    desk, connector = throttled
    fill(desk)
    done: Counter[str] = Counter()
    for _ in range(3):
        connector.left = 2
        with pytest.raises(Throttled):
            desk.sync.pull()
        done += desk.sync.counts
    assert done == {"customer.create": 1, "order.create": 1, "invoice.create": 1, "payment.create": 1}
    with desk.crm.session(SYSTEM) as s:
        runs = s.query(Run).order_by(Run.id).all()
        assert [(r.ok, r.error, sorted(r.counts)) for r in runs][:2] == [
            (False, "erp_bridge.throttled", ["customer.create", "order.create"]),
            (False, "erp_bridge.throttled", ["invoice.create"]),
        ]
    connector.left = 1000
    assert desk.sync.pull() == {}


def test_c63_a_stream_that_is_always_throttled_starves_no_other(make_desk: MakeDesk) -> None:
    class NoCustomers(FolderDrop):
        def read(self, entity: str, *given: Any) -> Any:
            if entity == "customer":
                raise Throttled(timedelta(minutes=1))
            return super().read(entity, *given)

    desk = make_desk()
    desk.drop("customer-1.json", customer("C1"))
    desk.sync.pull()
    desk.sync._channel.connector = NoCustomers(desk.settings)
    fill(desk)
    for expected in ({}, {"order.create": 1, "invoice.create": 1, "payment.create": 1}):
        with pytest.raises(Throttled):
            desk.sync.pull()
        assert desk.sync.counts == +Counter(expected)


@pytest.mark.parametrize(("after", "waited"), [(timedelta(seconds=1), True), (timedelta(seconds=3), False)])
def test_c63_a_short_wait_is_waited_out_and_a_long_one_ends_the_run(
    throttled: tuple[Desk, Throttling], after: timedelta, waited: bool
) -> None:
    desk, connector = throttled
    fill(desk)
    connector.left, connector.after, connector.refusals = 1, after, 1
    if waited:
        assert desk.sync.pull()["payment.create"] == 1
    else:
        with pytest.raises(Throttled):
            desk.sync.pull()
        assert desk.sync.counts == {"customer.create": 1}


def bought(desk: Desk) -> tuple[Money, str | None]:
    """Return what was paid, and for which invoice."""
    with desk.crm.session(OPERATOR) as s:
        (found,) = s.query(Payment).all()
        invoices = {i.ref: i.number for i in s.query(Invoice).all()}
        return found.amount, invoices.get(found.invoice) if found.invoice else None


def test_c63_a_payment_of_an_unknown_invoice_is_taken_and_linked_when_the_invoice_comes(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1"))
    desk.drop("payment-1.json", payment("P1", invoice="I9"))
    assert desk.sync.plan().counts["payment.waiting"] == 1, "the customer is not here yet, and without one there is no payment"
    assert desk.sync.pull() == {"customer.create": 1, "payment.create": 1}
    assert bought(desk) == (Money("10.00", "EUR"), None)
    assert desk.sync.pull() == {}
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        assert isinstance(letter, Parked)
        assert (letter.state, letter.error["params"]) == (ParkedState.WAITING, {"stream": "invoice", "id": "I9"})
        s.use(ErpBridge).replay(letter)
        assert len(s.use(ErpBridge).dead_letters()) == 1
    desk.drop("order-1.json", order("O1"))
    desk.drop("invoice-1.json", invoice("I9"))
    assert desk.sync.pull() == {"order.create": 1, "invoice.create": 1, "payment.update": 1}
    assert bought(desk) == (Money("10.00", "EUR"), "I9")
    assert desk.sync.reconcile().clean


def test_c63_a_payment_whose_customer_comes_before_its_invoice_is_taken_then(desk: Desk) -> None:
    desk.drop("payment-1.json", payment("P1", invoice="I9"))
    assert desk.sync.pull() == {"payment.waiting": 1}
    desk.drop("customer-1.json", customer("C1"))
    assert desk.sync.pull() == {"customer.create": 1, "payment.create": 1}
    assert bought(desk) == (Money("10.00", "EUR"), None)
    desk.drop("payment-2.json", payment("P1", invoice=None, amount="11.00"))
    assert desk.sync.pull() == {"payment.update": 1}
    assert (bought(desk), desk.sync.reconcile().clean) == ((Money("11.00", "EUR"), None), True)
