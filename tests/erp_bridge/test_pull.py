"""Pull: what the ERP puts out arrives once, in order, whatever happens on the way [C04, C63]."""

from __future__ import annotations

from crm_core import Money
from crm_erp_bridge.api import Binding, Order, Parked
from tests.erp_bridge.conftest import SYSTEM, Desk, customer, order


def test_c63_customers_and_orders_of_a_file_arrive_and_are_bound(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1", email="Info@ACME.example"), customer("C2"))
    desk.drop("order-1.json", order("O1", "C1"), order("O2", "C1", total="19.99", base="18.01", currency="USD"))
    assert desk.sync.pull() == {"customer.create": 2, "order.create": 2}
    with desk.crm.session(SYSTEM) as s:
        orders = s.query(Order).order_by(Order.number).all()
        assert [(o.number, o.total, o.base_total) for o in orders] == [
            ("SO-O1", Money("100.00", "EUR"), Money("100.00", "EUR")),
            ("SO-O2", Money("19.99", "USD"), Money("18.01", "EUR")),
        ]
        assert s.query(Binding).count() == 4
        assert s.query(Parked).count() == 0
    first = desk.accounts()[0]
    assert (first.name, first.external_ref, first.emails[0].address) == ("Customer C1", "K-C1", "info@acme.example")
    assert desk.sync.pull() == {}
