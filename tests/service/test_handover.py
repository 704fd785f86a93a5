"""The hand-over: a won deal opens one onboarding request with what was promised, whatever happens on the way [C24, C38, C68]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from crm_core import CRM, Account, Actor, Change, FixedClock, Money, Plugin, Runtime, Session, WriteCtx, check_write
from crm_sales import plugin as sales
from crm_sales.api import Commitment, Opportunity, Sales
from crm_service import plugin as service
from crm_service.api import ChecklistItem, Promise, RequestKind, Service, ServiceRequest
from tests.service.conftest import AGENT, MONDAY
from tests.threads import at_once

REP = Actor("3", roles={"sales.rep"})
SYSTEM = Actor.system("test", tenant="main")
MakeBoth = Callable[..., CRM]


@pytest.fixture
def make_both(make_crm: Callable[..., CRM]) -> MakeBoth:
    """Make CRMs with sales, service and more plugins."""

    def make(*more: Plugin) -> CRM:
        return make_crm(plugins=[service, sales, *more], runtime=Runtime.seeded(1, clock=FixedClock(MONDAY)))

    return make


@pytest.fixture
def crm(make_both: MakeBoth) -> CRM:
    """A CRM with both modules."""
    return make_both()


def win(s: Session, name: str = "100 seats", *promises: str) -> Opportunity:
    account = s.create(Account(name=f"{name} Ltd"))
    deal = s.create(Opportunity(name=name, account=account.ref, amount=Money("12000", "EUR")))
    s.create_many([Commitment(opportunity=deal.ref, what=what, who="8", due=date(2026, 4, 1)) for what in promises])
    return s.use(Sales).win(deal, reason="price")


def requests(crm: CRM, tenant: str = "main") -> list[ServiceRequest]:
    with crm.session(Actor.system("test", tenant=tenant), write=False) as s:
        return s.query(ServiceRequest).order_by(ServiceRequest.source).all()


def test_c24_c38_a_won_deal_opens_an_onboarding_request_with_the_promises_made_in_sales(crm: CRM) -> None:
    with crm.session(REP) as s:
        deal = win(s, "100 seats", "Two days of training", "A dedicated contact")
    assert requests(crm) == [], "what a deal sets off begins after its commit"
    crm.run_pending()
    (request,) = requests(crm)
    assert (request.subject, request.kind, request.owner) == ("Onboarding: 100 seats", RequestKind.ONBOARDING, "3")
    assert (request.source, request.account) == (f"sales.opportunity:{deal.id}", deal.account)
    with crm.session(AGENT) as s:
        kept = s.query(Promise).order_by(Promise.id).all()
        assert [(p.what, p.who, p.due, p.fulfilled) for p in kept] == [
            ("Two days of training", "8", date(2026, 4, 1), False),
            ("A dedicated contact", "8", date(2026, 4, 1), False),
        ]
        assert s.query(ChecklistItem).count() == 4
        assert deal.account is not None
        assert len(s.use(Service).open_promises(deal.account)) == 2


def test_c38_the_request_is_opened_by_the_hand_over_on_behalf_of_who_won_the_deal(crm: CRM) -> None:
    with crm.session(REP) as s:
        win(s)
    crm.run_pending()
    (request,) = requests(crm)
    assert request.created_by == "plugin:service.handover"
    with crm.bound.begin(write=False) as connection:
        journal = crm.tables.system.journal
        row = connection.execute(journal.select().where(journal.c.record == request.id)).one()
    assert (row.actor, row.on_behalf_of, row.plugin) == ("plugin:service.handover", "3", "service")


def test_c38_an_event_that_is_delivered_twice_opens_one_request(crm: CRM) -> None:
    with crm.session(REP) as s:
        win(s, "100 seats", "Two days of training")
    crm.run_pending()
    positions = crm.tables.system.subscription
    with crm.bound.begin() as connection:
        connection.execute(positions.update().values(position=0))
    assert crm.run_pending() > 0
    assert len(requests(crm)) == 1
    with crm.session(AGENT) as s:
        assert (s.query(Promise).count(), s.query(ChecklistItem).count()) == (1, 4)


def test_c38_a_worker_that_dies_before_its_commit_leaves_the_work_to_the_next(crm: CRM) -> None:
    with crm.session(REP) as s:
        win(s)
    crm.run_pending(limit=0)
    with pytest.raises(KeyboardInterrupt), crm.bound.begin() as connection:  # the worker's transaction
        assert crm.run_pending(on=connection) > 0
        raise KeyboardInterrupt
    assert requests(crm) == []
    crm.run_pending()
    assert len(requests(crm)) == 1


def test_c38_a_request_that_fails_is_tried_again_and_opened_once(make_both: MakeBoth) -> None:
    broken = [True]
    guard = Plugin("guard", version="1.0.0", requires={"service": ">=1"})

    @guard.hook(check_write, on=Promise)
    def fail(ctx: WriteCtx, changes: list[Change]) -> None:
        if broken:
            raise RuntimeError("the disk is full")

    crm = make_both(guard)
    with crm.session(REP) as s:
        win(s, "100 seats", "Two days of training")
    crm.run_pending()
    assert requests(crm) == [], "all of it or nothing"
    broken.clear()
    assert isinstance(crm.runtime.clock, FixedClock)
    crm.runtime.clock.advance(timedelta(days=1))
    crm.run_pending()
    assert len(requests(crm)) == 1


def test_c38_four_workers_at_once_open_one_request_a_deal(crm: CRM) -> None:
    with crm.session(REP) as s:
        for n in range(20):
            win(s, f"deal {n:02}", "Two days of training")
    at_once(lambda _: crm.run_pending(), range(4))
    crm.run_pending()
    assert sorted(r.subject for r in requests(crm)) == [f"Onboarding: deal {n:02}" for n in range(20)]
    with crm.session(AGENT) as s:
        assert s.query(Promise).count() == 20


def test_c38_a_deal_that_is_won_again_adds_what_was_promised_since(crm: CRM) -> None:
    with crm.session(REP) as s:
        deal = win(s, "100 seats", "Two days of training")
    crm.run_pending()
    with crm.session(REP) as s:
        s.use(Sales).reopen(deal.ref)
        s.create(Commitment(opportunity=deal.ref, what="A third day"))
        s.use(Sales).win(deal.ref, reason="a third day")
    crm.run_pending()
    assert len(requests(crm)) == 1
    with crm.session(AGENT) as s:
        assert [p.what for p in s.query(Promise).order_by(Promise.id).all()] == ["Two days of training", "A third day"]


def test_c38_whichever_path_wins_the_deal_the_request_is_opened(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        stage = s.use(Sales).win(s.create(Opportunity(name="by the service", amount=Money("1", "EUR"))), reason="price").stage
        changed = s.create(Opportunity(name="by an update", amount=Money("1", "EUR")))
        s.update(Opportunity, changed.id, {"stage": stage, "won_reason": "price"})
        s.create(Opportunity(name="born won", amount=Money("1", "EUR"), stage=stage, won_reason="price"))
        s.create_many([Opportunity(name=f"in bulk {n}", amount=Money("1", "EUR"), stage=stage, won_reason="price") for n in range(3)])
    crm.run_pending()
    assert {r.subject.removeprefix("Onboarding: ") for r in requests(crm)} == {
        *("by the service", "by an update", "born won", "in bulk 0", "in bulk 1", "in bulk 2")
    }
    assert all(r.account is None for r in requests(crm)), "a deal may have no account yet"


def test_a_deal_that_is_lost_or_still_open_opens_nothing(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        s.create(Opportunity(name="open", amount=Money("1", "EUR")))
        s.use(Sales).lose(s.create(Opportunity(name="lost", amount=Money("1", "EUR"))), reason="price")
    crm.run_pending()
    assert requests(crm) == []


def test_a_deal_is_handed_over_in_its_own_tenant(crm: CRM) -> None:
    with crm.session(Actor("3", tenant="other", roles={"sales.rep"})) as s:
        win(s)
    crm.run_pending()
    assert (len(requests(crm)), len(requests(crm, "other"))) == (0, 1)


@pytest.mark.alone
def test_c68_each_module_works_without_the_other(make_crm: Callable[..., CRM]) -> None:
    for plugins, names in (([service], ["core", "service"]), ([sales], ["core", "sales"]), ([], ["core"])):
        assert [p.name for p in make_crm(plugins=plugins).registry.plugins] == names
    both = make_crm(plugins=[service, sales])
    assert [p.name for p in both.registry.plugins] == ["core", "service", "sales", "service.handover", "service.deals"]
    both.migrations.check()


def test_deals_closed_long_before_they_are_recorded_are_history_and_open_nothing(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme")).ref
        for name, days in (("history", 31), ("last week", 7)):
            closed = MONDAY - timedelta(days=days)
            s.create(Opportunity(name=name, account=account, amount=Money(1, "EUR"), stage="won", won_reason="price", closed_at=closed))
    crm.run_pending()
    assert [r.subject for r in requests(crm)] == ["Onboarding: last week"]
