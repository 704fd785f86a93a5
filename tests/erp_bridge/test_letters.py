"""Dead letters: a correction takes the place of what it corrects, and a replay never brings old values back [C63]."""

from __future__ import annotations

import pytest

from crm_core import Account, Invalid, Money, Ref
from crm_erp_bridge.api import ErpBridge, OpState, Outbound
from crm_sales.api import Opportunity, Sales
from tests.erp_bridge.conftest import OPERATOR, SYSTEM, Desk, MakeDesk, customer


def refused(desk: Desk) -> Ref[Account]:
    """Have the ERP refuse the name ``Old``; return the customer, which it knows already."""
    desk.drop("customer-1.json", customer("C1", name="First"))
    desk.sync.pull()
    (account,) = desk.accounts()
    rename(desk, account.ref, "Old")
    desk.sync.push()
    desk.acknowledge(status="invalid", errors={"name": "not allowed"})
    desk.later(minutes=2)
    assert desk.sync.push() == {"customer.dead": 1}
    return account.ref


def rename(desk: Desk, account: Ref[Account], name: str) -> None:
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, account.id, {"name": name})
    desk.crm.run_pending()


def replay(desk: Desk) -> None:
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        s.use(ErpBridge).replay(letter)


def through(desk: Desk) -> list[str]:
    """Let everything through; return the names in the order in which the ERP took them in."""
    names = []
    for _ in range(3):
        desk.sync.push()
        known = {p.stem for p in (desk.root / "acks").iterdir()}
        names += [b["data"]["name"] for b in desk.outgoing() if b["key"] not in known]
        desk.acknowledge()
        desk.later(minutes=2)
    return names


def test_c63_a_later_write_that_is_done_supersedes_older_dead_letters_of_its_record(make_desk: MakeDesk) -> None:
    desk = make_desk()
    account = refused(desk)
    rename(desk, account, "New")
    assert through(desk) == ["New"]
    with desk.crm.session(OPERATOR) as s:
        assert s.use(ErpBridge).dead_letters() == []
        old, new = s.query(Outbound).order_by(Outbound.sequence).all()
    assert (old.state, old.reason, new.state) == (OpState.DISCARDED, "superseded", OpState.DONE)
    assert desk.crm.messages.text(old.error["code"], {}, "en") == "A later write of the same record takes its place."
    assert desk.crm.messages.text(old.error["code"], {}, "zh") == "已被同一记录较新的写入取代。"


def test_c63_a_replay_before_the_correction_is_written_sends_what_the_record_says_now(make_desk: MakeDesk) -> None:
    desk = make_desk()
    account = refused(desk)
    rename(desk, account, "New")
    replay(desk)
    assert through(desk) == ["New"]
    with desk.crm.session(OPERATOR) as s:
        assert [o.state for o in s.query(Outbound).order_by(Outbound.sequence).all()] == [OpState.DISCARDED, OpState.DONE]


def test_c63_a_replay_of_a_record_that_changed_unheard_queues_what_it_says_now(make_desk: MakeDesk) -> None:
    desk = make_desk()
    account = refused(desk)
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, account.id, {"name": "New"})
    replay(desk)
    desk.crm.run_pending()
    assert through(desk) == ["New"]
    with desk.crm.session(OPERATOR) as s:
        assert [o.state for o in s.query(Outbound).order_by(Outbound.sequence).all()] == [OpState.DISCARDED, OpState.DONE]


def test_c63_a_reconciliation_with_a_dead_letter_is_not_clean_and_counts_what_is_queued(make_desk: MakeDesk) -> None:
    desk = make_desk()
    account = refused(desk)
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, account.id, {"name": "First"})
    found = desk.sync.reconcile()
    customers = found.streams[0]
    assert (found.clean, found.exit_code, customers.dead, customers.queued) == (False, 1, 1, 0)
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        with pytest.raises(Invalid, match=r"erp_bridge\.reason_missing"):
            s.use(ErpBridge).discard(letter, reason=" ")
        s.use(ErpBridge).discard(letter, reason="taken back")
    rename(desk, account, "Next")
    customers = desk.sync.reconcile().streams[0]
    assert (customers.dead, customers.queued) == (0, 1)


def test_c63_dead_letters_of_a_stream_that_is_only_written_count_too(make_desk: MakeDesk) -> None:
    desk = make_desk(sales=True)
    with desk.crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
        s.use(Sales).win(s.create(Opportunity(name="1 seat", account=account.ref, amount=Money("1", "EUR"))), reason="price")
    desk.deliver()
    waiting = desk.sync.reconcile()
    assert (waiting.clean, {r.stream: r.queued for r in waiting.streams if r.queued}) == (True, {"customer": 1, "deal": 1})
    desk.acknowledge(status="fatal", reason="blocked")
    desk.later(minutes=2)
    desk.sync.push()
    found = desk.sync.reconcile()
    assert (found.exit_code, {r.stream: (r.dead, r.queued) for r in found.streams if r.dead or r.queued}) == (
        1, {"customer": (1, 0), "deal": (0, 1)},
    )  # fmt: skip
