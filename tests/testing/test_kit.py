"""The kit: one transaction that is rolled back, in which subscribers deliver all the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Denied, Money, NotFound, Runtime
from crm_core.testing import Kit, open_kit
from crm_sales.api import Opportunity, OpportunityWon, Sales
from examples.vendor import PointsEntry


def test_subscribers_deliver_what_is_never_committed(crm_kit: Kit) -> None:
    account = crm_kit.session.create(Account(name="A"))
    deal = crm_kit.session.create(Opportunity(name="x", account=account.ref, amount=Money("100", "EUR")))
    crm_kit.session.use(Sales).win(deal, reason="price")
    assert crm_kit.session.query(PointsEntry).count() == 0
    assert crm_kit.deliver() >= 1
    assert [e.points for e in crm_kit.session.query(PointsEntry).all()] == [1]
    won = crm_kit.recorded(OpportunityWon)
    assert [(e.record.id, e.reason) for e in won] == [(deal.id, "price")]
    assert [type(e).__name__ for e in crm_kit.events][:1] == ["Created"]
    assert crm_kit.deliver() == 0


def test_nothing_of_a_kit_stays_in_the_database(make_crm: Any) -> None:
    crm: CRM = make_crm(runtime=Runtime.seeded(1))
    with open_kit(crm) as kit:
        kit.make(Account)
        kit.deliver()
        assert kit.session.query(Account).count() == 1
    with open_kit(crm) as kit:
        assert kit.session.query(Account).count() == 0
        assert kit.events == []
    with crm.session(Actor.system("test", tenant="main"), write=False) as s:
        assert s.query(Account).count() == 0


def test_who_acts_sees_and_may_do_what_their_roles_say(crm_kit: Kit) -> None:
    theirs = crm_kit.make(Opportunity, owner="9")
    me = crm_kit.act_as("sales.rep")
    assert crm_kit.session.actor == me
    mine = crm_kit.session.create(Opportunity(name="mine", amount=Money("1", "EUR")))
    assert mine.owner == me.id
    with pytest.raises(NotFound):
        crm_kit.session.get(Opportunity, theirs.id)
    crm_kit.act_as("nobody")
    with pytest.raises(Denied):
        crm_kit.session.create(Opportunity(name="not mine", amount=Money("1", "EUR")))
    crm_kit.act_as(tenant="other")
    assert crm_kit.session.query(Opportunity).count() == 0
    crm_kit.act_as()
    assert crm_kit.session.query(Opportunity).count() == 2


def test_the_clock_stands_until_it_is_told(crm_kit: Kit) -> None:
    first = crm_kit.make(Account)
    crm_kit.clock.advance(timedelta(days=30))
    assert crm_kit.make(Account).created_at - first.created_at == timedelta(days=30)


def test_a_test_that_fails_undoes_all_the_same(make_crm: Any) -> None:
    crm: CRM = make_crm()
    with pytest.raises(ZeroDivisionError), open_kit(crm) as kit:
        kit.session.create(Account(name="A"))
        raise ZeroDivisionError
    with open_kit(crm) as kit:
        assert kit.session.query(Account).count() == 0
        with pytest.raises(TypeError, match=r"runtime=Runtime\.seeded"):
            _ = kit.clock


def test_the_recorder_tells_what_happened_in_order(crm_kit: Kit) -> None:
    crm_kit.make(Opportunity, stage="won")
    names = [type(e).__name__ for e in crm_kit.events if e.record.entity is Opportunity]
    assert names == ["Created", "OpportunityMoved", "OpportunityWon"]
