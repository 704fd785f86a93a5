"""Push: what we write arrives once, parents first, in order; what fails is tried again or told [C63]."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_core import Account, Actor, Money
from crm_erp_bridge.api import (
    Binding,
    DiscardWrite,
    ErpBridge,
    OpState,
    Outbound,
    ReplayWrite,
)
from crm_erp_bridge.push import delay
from crm_sales.api import LineDraft, Opportunity, Sales
from tests.erp_bridge.conftest import MAPPING, OPERATOR, SYSTEM, Desk, MakeDesk, customer, order

REP = Actor("3", roles={"sales.rep"})


def win(desk: Desk, *names: str, account: Account | None = None) -> Account:
    """Win deals of one customer."""
    with desk.crm.session(REP) as s:
        account = account or s.create(Account(name="Acme GmbH", website="https://acme.example"))
        for name in names:
            deal = s.create(Opportunity(name=name, account=account.ref, amount=Money("1200", "EUR")))
            s.use(Sales).win(deal, reason="price")
    return account


def states(desk: Desk) -> list[tuple[str, str]]:
    with desk.crm.session(SYSTEM, write=False) as s:
        return [(o.stream, o.state.value) for o in s.query(Outbound).order_by(Outbound.id).all()]


def test_g15_two_deals_of_one_customer_are_one_customer_and_two_orders(make_desk: MakeDesk) -> None:
    """[G15] erpnext 53640: the second deal fails there."""
    desk = make_desk(sales=True)
    win(desk, "100 seats", "20 seats")
    desk.deliver()
    (sent,) = desk.outgoing()
    assert (sent["entity"], sent["op"], sent["data"]) == (
        "customer", "create", {"name": "Acme GmbH", "web": "https://acme.example", "email": None},
    )  # fmt: skip
    (customer_id,) = desk.acknowledge()
    desk.later(minutes=2)
    desk.deliver()
    orders = [b for b in desk.outgoing() if b["entity"] == "order"]
    assert sorted((b["data"]["title"], b["data"]["customer"], b["data"]["total"], b["data"]["currency"]) for b in orders) == [
        ("100 seats", customer_id, "1200.00", "EUR"),
        ("20 seats", customer_id, "1200.00", "EUR"),
    ]
    desk.acknowledge()
    desk.later(minutes=2)
    desk.deliver()
    assert states(desk) == [("customer", "done"), ("deal", "done"), ("deal", "done")]
    with desk.crm.session(SYSTEM) as s:
        assert sorted((b.stream, b.remote_id) for b in s.query(Binding).all()) == sorted(
            [("customer", customer_id), *(("deal", f"O{b['key'][:4]}") for b in orders)]
        )


class PowerCut(BaseException):
    """The process ends here."""


def test_c63_a_file_for_the_erp_is_there_whole_or_not_at_all(make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = make_desk(sales=True)
    win(desk, "100 seats")
    desk.crm.run_pending()

    def cut(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(Path, "replace", cut)  # what was written has not got its name yet
        desk.sync.push()
    assert desk.outgoing() == []
    desk.later(hours=1)
    desk.sync.push()
    (sent,) = desk.outgoing()
    assert sent["data"]["name"] == "Acme GmbH"


def test_c63_a_customer_who_never_bought_stays_out_of_the_erp(make_desk: MakeDesk) -> None:
    desk = make_desk(sales=True)
    with desk.crm.session(REP) as s:
        s.create(Account(name="Only looking"))
    desk.deliver()
    assert (desk.outgoing(), states(desk)) == ([], [])


def test_c63_what_we_wrote_comes_back_and_changes_nothing_for_three_cycles(make_desk: MakeDesk) -> None:
    desk = make_desk(sales=True)
    account = win(desk, "100 seats")
    desk.deliver()
    (id,) = desk.acknowledge()
    desk.later(minutes=2)
    desk.deliver()
    for cycle in range(3):
        back = {"id": id, "version": "1", "number": "K-9", "name": "Acme GmbH", "web": "https://acme.example/", "note": cycle}
        desk.drop(f"customer-{cycle}.json", back)
        counts = desk.sync.pull()
        assert counts == {"customer.update" if cycle == 0 else "customer.echo": 1}, "the ERP's number came with the first"
        desk.deliver()
    assert [s for s in states(desk) if s[0] == "customer"] == [("customer", "done")]
    (found,) = desk.accounts()
    assert (found.id, found.external_ref, found.website) == (account.id, "K-9", "https://acme.example")


def test_c63_what_the_erp_changes_of_ours_is_written_again(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.drop("customer-1.json", customer("C1", web="https://a.example"))
    desk.sync.pull()
    desk.drop("customer-2.json", customer("C1", web="https://wrong.example"))
    assert desk.sync.pull() == {"customer.update": 1}
    desk.deliver()
    assert [(b["id"], b["data"]["web"]) for b in desk.outgoing()] == [("C1", "https://a.example")]


def test_c63_changes_of_one_record_go_in_order_one_at_a_time(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.drop("customer-1.json", customer("C1"))
    desk.sync.pull()
    (account,) = desk.accounts()
    for name in ("One", "Two"):
        with desk.crm.session(SYSTEM) as s:
            s.update(Account, account.id, {"name": name})
        desk.crm.run_pending()
    desk.sync.push()
    assert [b["data"]["name"] for b in desk.outgoing()] == ["One"]
    desk.acknowledge()
    for _ in range(2):
        desk.later(minutes=2)
        desk.sync.push()
    assert sorted(b["data"]["name"] for b in desk.outgoing()) == ["One", "Two"]


def test_c63_a_refused_write_is_a_dead_letter_until_somebody_replays_or_discards_it(make_desk: MakeDesk) -> None:
    desk = make_desk(sales=True)
    win(desk, "100 seats", "20 seats")
    desk.deliver()
    desk.acknowledge(status="invalid", errors={"web": "not allowed"})
    desk.later(minutes=2)
    desk.deliver()
    assert states(desk) == [("customer", "dead"), ("deal", "queued"), ("deal", "queued")], "its orders wait for it"
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        assert isinstance(letter, Outbound)
        assert letter.error == {"code": "erp_bridge.refused_fields", "fields": [{"field": "web", "code": "not allowed"}]}
        s.perform(ReplayWrite(letter.ref))
    for _ in range(3):  # the refusal is used up, and the ERP is asked anew
        desk.sync.push()
        desk.acknowledge()
        desk.later(minutes=2)
    assert states(desk) == [("customer", "done"), ("deal", "done"), ("deal", "done")]


def test_c63_a_discarded_write_says_why(make_desk: MakeDesk) -> None:
    desk = make_desk(sales=True)
    win(desk, "100 seats")
    desk.deliver()
    desk.acknowledge(status="fatal", reason="blocked")
    desk.later(minutes=2)
    desk.deliver()
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        assert isinstance(letter, Outbound)
        done = s.perform(DiscardWrite(letter.ref, "a test customer"))
        assert (done.state, done.reason) == (OpState.DISCARDED, "a test customer")


def test_c63_a_confirmed_order_goes_to_the_erp_with_its_figures(make_desk: MakeDesk) -> None:
    fields = """
[sales_order]
record = "sales.order"
entity = "order"
owner = "crm"
to_erp = "always"
from_erp = "never"

[sales_order.fields]
number = "reference"
account = { erp = "customer", codec = "ref", stream = "customer" }
total = { erp = "total", codec = "money", currency = "currency" }
"""
    desk = make_desk(sales=True, mapping=MAPPING.split("[deal]")[0] + fields)
    with desk.crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme GmbH"))
        deal = s.create(Opportunity(name="100 seats", account=account.ref, amount=Money("1200", "EUR")))
        sales = s.use(Sales)
        line = LineDraft(description="Seat", quantity=Decimal(3), price=Money("33.33", "EUR"), tax=Decimal(19))
        order = sales.order(sales.accept(sales.send(sales.quote(deal, [line]))))
        assert states(desk) == []
        sales.confirm(order.ref)
    desk.deliver()
    desk.acknowledge()
    desk.later(minutes=2)
    desk.sync.push()
    (sent,) = [b["data"] for b in desk.outgoing() if b["entity"] == "order"]
    assert (sent["reference"], sent["total"], sent["currency"]) == (order.number, str(order.total.amount), "EUR")


def test_c63_an_event_that_is_delivered_twice_queues_once(make_desk: MakeDesk) -> None:
    desk = make_desk(sales=True)
    win(desk, "100 seats")
    desk.crm.run_pending()
    with desk.crm.bound.begin() as connection:
        connection.execute(desk.crm.tables.system.subscription.update().values(position=0))
    assert desk.crm.run_pending() > 0
    assert states(desk) == [("customer", "queued"), ("deal", "queued")]


def test_keys_follow_from_the_record_and_its_place_in_the_line(make_desk: MakeDesk) -> None:
    desk = make_desk(sales=True)
    win(desk, "100 seats")
    desk.crm.run_pending()
    with desk.crm.session(SYSTEM) as s:
        keys = [o.key for o in s.query(Outbound).all()]
    assert len(set(keys)) == 2
    desk.sync.push()
    assert {b["key"] for b in desk.outgoing()} <= set(keys)


def test_pauses_grow_and_are_spread() -> None:
    """Full jitter: any pause from none to twice the last one's longest, an hour at most."""
    assert [delay(n, 30, 1.0) for n in (1, 2, 3)] == [timedelta(seconds=s) for s in (30, 60, 120)]
    assert delay(60, 30, 1.0) == timedelta(hours=1)
    assert delay(5, 30, 0.0) == timedelta(0)


def test_an_operator_sees_letters_and_a_stranger_none(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.drop("order-1.json", order("O1", "nobody"))
    desk.sync.pull()
    with desk.crm.session(Actor("9")) as s:
        assert s.use(ErpBridge).dead_letters() == []
    with desk.crm.session(OPERATOR) as s:
        assert len(s.use(ErpBridge).dead_letters()) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": "error"}, "has the status error, which is none of ok, invalid, fatal, retry"),
        ({"status": "ok", "id": None}, "has no id"),
        ({"status": "fatal", "reason": "closed for ever"}, "closed for ever"),
    ],
)
def test_c63_an_acknowledgement_that_cannot_be_read_says_what_is_wrong_and_is_read_again_once_it_is_corrected(
    make_desk: MakeDesk, answer: dict[str, Any], reason: str
) -> None:
    desk = make_desk(sales=True)
    win(desk, "100 seats")
    desk.deliver()
    desk.acknowledge(**answer)
    desk.later(minutes=2)
    desk.deliver()
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        assert letter.error["code"] == "erp_bridge.fatal"
        assert letter.error["params"]["reason"].endswith(reason)
        s.use(ErpBridge).replay(letter)
    for ack in (desk.root / "acks").glob("*.json"):
        if ".refused" not in ack.name:
            ack.unlink()
    for _ in range(3):
        desk.sync.push()
        desk.acknowledge()
        desk.later(minutes=2)
    assert {state for _, state in states(desk)} == {"done"}
