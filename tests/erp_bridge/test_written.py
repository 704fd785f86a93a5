"""What is only written to the ERP: a correction queues itself, and a reconciliation sees what never went or went away [C63]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crm_core import CRM, Account, Money, Plugin, Refused
from crm_erp_bridge import plugin as erp_bridge
from crm_erp_bridge.api import Bridge, DueCtx, ErpBridge, FolderDrop, OpState, Outbound, StreamReport, due
from crm_erp_bridge.due import all_due
from crm_sales.api import Opportunity, Sales
from tests.erp_bridge.conftest import MAPPING, OPERATOR, SYSTEM, Desk, MakeDesk, customer, order


def win(desk: Desk, name: str) -> Opportunity:
    """Win a deal of the customer."""
    with desk.crm.session(SYSTEM) as s:
        deal = s.create(Opportunity(name=name, account=s.query(Account).one().ref, amount=Money("10", "EUR")))
        return s.use(Sales).win(deal, reason="price")


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    made = make_desk(sales=True)
    made.drop("customer-1.json", customer("C1"))
    made.sync.pull()
    return made


def written(desk: Desk, **answer: Any) -> list[str]:
    """Have the ERP answer what is written, and export the orders that it made of it; return their titles."""
    desk.deliver()
    known = {p.stem for p in (desk.root / "acks").iterdir()}
    new = [b for b in desk.outgoing() if b["key"] not in known]
    ids = desk.acknowledge(**answer)
    desk.later(minutes=2)
    desk.sync.push()
    if not answer:
        for id, body in zip(ids, new, strict=True):
            if body["entity"] == "order":
                desk.drop(f"order-{body['key']}.json", order(id, "C1", no=body["data"]["title"]))
    return [b["data"].get("title") for b in new]


def deals(desk: Desk) -> StreamReport:
    (found,) = (r for r in desk.sync.reconcile().streams if r.stream == "deal")
    return found


def test_c63_a_correction_of_a_won_deal_that_the_erp_refused_queues_itself(desk: Desk) -> None:
    deal = win(desk, "Forbidden title")
    written(desk, status="invalid", errors={"title": "forbidden"})
    with desk.crm.session(SYSTEM) as s:
        s.update(Opportunity, deal.id, {"name": "Good title"})
    assert written(desk) == ["Good title"]
    with desk.crm.session(OPERATOR) as s:
        assert s.use(ErpBridge).dead_letters() == []
        assert [o.state for o in s.query(Outbound).order_by(Outbound.id).all()] == [OpState.DISCARDED, OpState.DONE]


def test_c63_a_change_of_a_deal_that_the_erp_has_is_written_and_one_that_is_not_mapped_is_not(desk: Desk) -> None:
    deal = win(desk, "100 seats")
    written(desk)
    with desk.crm.session(SYSTEM) as s:
        s.update(Opportunity, deal.id, {"source": "fair"})
    assert written(desk) == []
    with desk.crm.session(SYSTEM) as s:
        s.update(Opportunity, deal.id, {"name": "200 seats"})
    assert written(desk) == ["200 seats"]


def test_c63_a_replay_of_a_deal_sends_what_it_says_now_and_of_a_lost_one_nothing(desk: Desk) -> None:
    deal = win(desk, "Forbidden title")
    written(desk, status="invalid", errors={"title": "forbidden"})
    with desk.crm.session(SYSTEM) as s:
        s.update(Opportunity, deal.id, {"name": "Good title"})
    with desk.crm.session(OPERATOR) as s:  # whoever runs it does not see the deal; its event is not delivered yet
        s.use(ErpBridge).replay(s.use(ErpBridge).dead_letters()[0])
    assert written(desk) == ["Good title"]
    other = win(desk, "Forbidden too")
    written(desk, status="invalid", errors={"title": "forbidden"})
    with desk.crm.session(SYSTEM) as s:
        s.use(Sales).reopen(s.get(Opportunity, other.id))
    with desk.crm.session(OPERATOR) as s, pytest.raises(Refused) as error:
        s.use(ErpBridge).replay(s.use(ErpBridge).dead_letters()[0])
    assert error.value.code == "erp_bridge.not_due"


def test_c63_deals_that_were_won_before_there_was_a_bridge_are_reported_and_offered(desk: Desk) -> None:
    deal = win(desk, "Old deal")
    found = deals(desk)
    assert (found.there, found.here, found.missing_there, found.only_here, found.clean) == (0, 1, 1, [deal.id], False)
    with desk.crm.session(SYSTEM) as s:
        assert s.use(ErpBridge).offer(s.get(Opportunity, deal.id), source="first load") == 1
    assert deals(desk).clean, "what is queued is no difference"
    written(desk)
    desk.sync.pull()
    found = deals(desk)
    assert (found.there, found.here, desk.sync.reconcile().clean) == (1, 1, True)


def test_c63_an_open_deal_is_not_offered(desk: Desk) -> None:
    with desk.crm.session(SYSTEM) as s:
        deal = s.create(Opportunity(name="Open", account=s.query(Account).one().ref, amount=Money("10", "EUR")))
        with pytest.raises(Refused) as error:
            s.use(ErpBridge).offer(deal, source="first load")
    assert error.value.code == "erp_bridge.not_due"


def test_c63_an_order_that_the_erp_deleted_and_a_deal_that_was_reopened_are_reported(desk: Desk) -> None:
    kept, reopened = win(desk, "Kept"), win(desk, "Reopened")
    written(desk)
    desk.sync.pull()
    assert desk.sync.reconcile().clean
    with desk.crm.session(SYSTEM) as s:
        s.use(Sales).reopen(s.get(Opportunity, reopened.id))
    found = deals(desk)
    assert (found.there, found.here, found.missing_here, found.missing_there, len(found.only_there)) == (2, 1, 1, 0, 1)
    with desk.crm.session(SYSTEM) as s:
        gone = s.query(Outbound).where(Outbound.local_id == kept.id).one().remote_id
    desk.drop("order-z.json", {"id": gone, "deleted": True})
    desk.sync.pull()
    found = deals(desk)
    assert (found.missing_here, found.missing_there, found.only_here) == (1, 1, [gone])


def test_c63_what_nobody_lists_is_not_taken_for_gone(make_desk: MakeDesk) -> None:
    mapping = MAPPING.split("[order]")[0] + "[deal]" + MAPPING.split("[deal]")[1]
    desk = make_desk(sales=True)
    (desk.root / "erp.toml").write_text(mapping, encoding="utf-8")
    desk.sync._channel.bridge = Bridge("files", FolderDrop, mapping=desk.root / "erp.toml", settings=desk.settings)
    desk.drop("customer-1.json", customer("C1"))
    desk.sync.pull()
    win(desk, "100 seats")
    written(desk)
    found = deals(desk)
    assert (found.there, found.here, found.clean) == (1, 1, True)


def test_c63_a_plugin_that_answers_the_same_for_ever_is_told_so(desk: Desk, make_crm: Callable[..., CRM]) -> None:
    stuck = Plugin("acme.stuck", version="1.0.0", requires={"erp_bridge": ">=1"})
    stuck.hook(due)(always_the_first)
    stream = desk.sync._channel.bridge.mapping.streams["customer"]
    with make_crm(plugins=[erp_bridge, stuck]).session(SYSTEM) as s:
        batches = all_due(s, stream)
        assert next(batches) == ["00000000-0000-7000-8000-000000000001"]
        with pytest.raises(Refused) as error:
            next(batches)
    assert error.value.code == "erp_bridge.due_stuck"


def always_the_first(ctx: DueCtx, ids: list[str]) -> list[dict[str, Any]]:
    return [{"id": "00000000-0000-7000-8000-000000000001"}]
