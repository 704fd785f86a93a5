"""The bridge's own books: what is bound to what, what waits until when, who worked; and a page that leads nowhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import attrs
import pytest

from crm_core import Account, Money, Refused
from crm_erp_bridge.api import Binding, ErpBridge, Lease, Outbound, Page, Payment, Run
from tests.erp_bridge.conftest import MAPPING, OPERATOR, SYSTEM, Desk, MakeDesk, customer
from tests.erp_bridge.http_desk import START, HttpDesk
from tests.erp_bridge.http_erp import HttpConnector


def test_c63_a_binding_says_which_records_are_one_and_when_they_were(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1", name="Acme"))
    desk.sync.pull()
    (account,) = desk.accounts()
    with desk.crm.session(SYSTEM) as s:
        bound = s.query(Binding).one()
        assert (bound.local_id, bound.remote_id, bound.missing, bound.synced_at) == (account.id, "C1", 0, START)
        s.update(Account, account.id, {"website": "https://acme.example"})
    desk.crm.run_pending()
    with desk.crm.session(SYSTEM, write=False) as s:
        waiting = s.query(Outbound).one()
        assert (waiting.local_id, waiting.next_try <= desk.clock.now(), waiting.attempts) == (account.id, True, 0)
    desk.sync.push()
    desk.acknowledge(version="7")
    desk.later(minutes=2)
    desk.sync.push()
    with desk.crm.session(SYSTEM, write=False) as s:
        again = s.query(Binding).one()
        assert (again.remote_version, again.sent_hash == bound.sent_hash, again.synced_at > bound.synced_at) == ("7", False, True)


def test_c63_a_run_says_when_it_ended_and_its_lease_is_free_again(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1"))
    desk.sync.pull()
    with desk.crm.session(SYSTEM, write=False) as s:
        run, lease = s.query(Run).one(), s.query(Lease).one()
    assert (run.ended_at, run.ok, lease.bridge, lease.holder) == (START, True, "files", "")


def test_c63_a_payment_keeps_what_the_erp_says_it_is_in_its_own_currency(make_desk: MakeDesk) -> None:
    based = 'base_amount = { erp = "base", codec = "money", currency = "=EUR" }'
    mapping = MAPPING.replace("\n\n[deal]", f"\n{based}\n\n[deal]", 1)
    desk = make_desk(mapping=mapping)
    desk.drop("customer-1.json", customer("C1"))
    paid = {"id": "P1", "no": "P-1", "customer": "C1", "date": "2026-01-12"}
    desk.drop("payment-1.json", {**paid, "amount": "11.00", "currency": "USD", "base": "10.01"})
    desk.sync.pull()
    with desk.crm.session(SYSTEM, write=False) as s:
        payment = s.query(Payment).one()
    assert (payment.amount, payment.base_amount) == (Money("11", "USD"), Money(Decimal("10.01"), "EUR"))


class Looping(HttpConnector):
    """Its page leads to itself."""

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        return attrs.evolve(super().read(entity, None, until, limit, scope), next=cursor, complete=False)


def test_c63_a_page_that_leads_to_itself_is_refused_instead_of_read_for_ever(make_http_desk: Callable[..., HttpDesk]) -> None:
    desk = make_http_desk(connector=Looping)
    with pytest.raises(Refused) as refused:
        desk.sync.pull()
    assert refused.value.code == "erp_bridge.cursor_stuck"


def test_c63_a_letter_that_is_on_its_way_again_is_no_dead_one(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.drop("customer-1.json", customer("C1", name="First"))
    desk.sync.pull()
    (account,) = desk.accounts()
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, account.id, {"name": "Old"})
    desk.deliver()
    desk.acknowledge(status="invalid", errors={"name": "not allowed"})
    desk.later(minutes=2)
    desk.sync.push()
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        s.use(ErpBridge).replay(letter)
        with pytest.raises(Refused) as refused:
            s.use(ErpBridge).replay(letter)
    assert refused.value.code == "erp_bridge.not_dead"
