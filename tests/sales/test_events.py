"""What a deal tells of itself, as whoever subscribes hears it."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core import Account, Event, Money, Plugin, Session
from crm_sales.api import Opportunity, OpportunityLost, OpportunityMoved, OpportunityReopened, OpportunityWon, Sales
from tests.sales.desk import BOSS, PLAIN, deal


@pytest.fixture
def heard(make_crm: Any) -> list[Event[Any]]:
    """All that is heard of a deal that is lost, reopened and won."""
    listener, found = Plugin("listener", version="1", requires={"sales": ">=1"}), []
    listener.grants("account:read", "sales.opportunity:read")

    def hear(s: Session, event: Any) -> None:
        found.append(event)

    for event in (OpportunityMoved, OpportunityWon, OpportunityLost, OpportunityReopened):
        listener.on(event)(hear)
    crm = make_crm(plugins=[PLAIN, listener])
    with crm.session(BOSS) as s:
        made = deal(s)
        s.use(Sales).lose(made.ref, reason="price")
        s.use(Sales).reopen(made.ref)
        s.update(Opportunity, made.id, {"stage": "won", "won_reason": "came back"})
    crm.run_pending()
    return found


def test_each_move_and_each_end_of_a_deal_is_heard_in_order(heard: list[Event[Any]]) -> None:
    assert [type(event) for event in heard] == [
        *(OpportunityMoved,),
        *(OpportunityMoved, OpportunityLost),
        *(OpportunityMoved, OpportunityReopened),
        *(OpportunityMoved, OpportunityWon),
    ]
    assert [(e.old, e.new) for e in heard if isinstance(e, OpportunityMoved)] == [
        (None, "new"),
        ("new", "lost"),
        ("lost", "new"),
        ("new", "won"),
    ]


def test_an_end_says_what_the_deal_was_worth_and_why(heard: list[Event[Any]]) -> None:
    (lost,) = (e for e in heard if isinstance(e, OpportunityLost))
    (won,) = (e for e in heard if isinstance(e, OpportunityWon))
    assert (lost.amount, lost.reason) == (Money("12000", "EUR"), "price")
    assert (won.amount, won.reason) == (Money("12000", "EUR"), "came back")
    assert won.account is not None
    assert won.account.entity is Account
