"""Service requests: checklists, promises, and when they count as done [C24, C38]."""

from __future__ import annotations

from datetime import date

import pytest

from crm_core import Account, Actor, Denied, Invalid, Refused
from crm_service import plugin
from crm_service.api import (
    ChecklistItem,
    Commitment,
    CompleteRequest,
    Promise,
    RequestKind,
    RequestStatus,
    Service,
    ServiceRequest,
    Ticket,
)
from tests.service.conftest import AGENT, MANAGER, Desk, MakeDesk

SYSTEM = Actor.system("test", tenant="main")
TRAINING = Commitment(what="Two days of training", source="sales.commitment:1", who="8", due=date(2026, 4, 1))


def onboard(desk: Desk, *commitments: Commitment, source: str = "sales.opportunity:1") -> ServiceRequest:
    with desk.crm.session(SYSTEM) as s:
        account = s.query(Account).first() or s.create(Account(name="Acme"))
        return s.use(Service).open_onboarding(source=source, deal="100 seats", account=account.ref, owner=AGENT.id, commitments=commitments)


def test_c38_an_onboarding_request_has_the_checklist_of_the_settings(make_desk: MakeDesk) -> None:
    desk = make_desk(
        plugins=[plugin.configured(onboarding_checklist=["Call", "Train"], onboarding_days=7, onboarding_title="Welcome {deal}")]
    )
    request = onboard(desk)
    assert (request.subject, request.kind, request.due, request.owner) == (
        "Welcome 100 seats",
        RequestKind.ONBOARDING,
        date(2026, 3, 9),
        "7",
    )
    with desk.crm.session(AGENT) as s:
        items = s.query(ChecklistItem).order_by(ChecklistItem.position).all()
        assert [(i.position, i.title, i.done) for i in items] == [(1, "Call", False), (2, "Train", False)]


def test_c38_one_source_opens_one_request_and_later_promises_join_it(desk: Desk) -> None:
    one = onboard(desk, TRAINING)
    two = onboard(desk, TRAINING, Commitment(what="A dedicated contact", source="sales.commitment:2"))
    assert one.id == two.id
    with desk.crm.session(AGENT) as s:
        assert [p.what for p in s.query(Promise).order_by(Promise.id).all()] == ["Two days of training", "A dedicated contact"]
        assert s.query(ChecklistItem).count() == 4


def test_onboarding_goes_to_whom_the_settings_name(make_desk: MakeDesk) -> None:
    assert onboard(make_desk(plugins=[plugin.configured(onboarding_owner="42")])).owner == "42"


def test_c24_a_request_is_not_done_before_its_steps_and_promises_are(desk: Desk) -> None:
    request = onboard(desk, TRAINING)
    with desk.crm.session(AGENT) as s:
        with pytest.raises(Refused) as e, s.savepoint():
            s.perform(CompleteRequest(request=request.ref))
        assert (e.value.details[0].code, e.value.details[0].params["steps"], e.value.details[0].params["promises"]) == (
            "service.request_unfinished",
            4,
            1,
        )
        s.update_where(s.query(ChecklistItem), {"done": True})
        with pytest.raises(Refused), s.savepoint():
            s.update(ServiceRequest, request.id, {"status": "done"})
        s.update_where(s.query(Promise), {"fulfilled": True})
        assert s.perform(CompleteRequest(request=request.ref)).status is RequestStatus.DONE


def test_a_step_says_who_did_it_and_when(desk: Desk) -> None:
    onboard(desk)
    with desk.crm.session(AGENT) as s:
        item = s.query(ChecklistItem).order_by(ChecklistItem.position).first()
        assert item is not None
        done = s.update(ChecklistItem, item.id, {"done": True})
        assert (done.done_by, done.done_at) == ("7", desk.clock.now())
        undone = s.update(ChecklistItem, item.id, {"done": False})
        assert (undone.done_by, undone.done_at) == (None, None)
        with pytest.raises(Invalid), s.savepoint():
            s.update(ChecklistItem, item.id, {"done_by": "9"})


def test_c24_what_was_promised_and_not_kept_stands_beside_ticket_and_account(desk: Desk) -> None:
    onboard(desk, TRAINING, Commitment(what="Done already", source="sales.commitment:9", fulfilled=True))
    with desk.crm.session(AGENT) as s:
        account = s.query(Account).one()
        ticket = s.create(Ticket(subject="When is our training?", account=account.ref))
        assert [p.what for p in s.use(Service).open_promises(account)] == ["Two days of training"]
        shown = {"promises": [{"what": "Two days of training", "who": "8", "due": "2026-04-01"}]}
        for record in (account, ticket):
            (panel,) = [p for p in desk.crm.registry.panels(type(record)) if p.label == "service.panel.promises"]
            assert panel.fn(s, record) == shown
        (panel,) = [p for p in desk.crm.registry.panels(Ticket) if p.label == "service.panel.promises"]
        assert panel.fn(s, s.create(Ticket(subject="Who are you?"))) == {"promises": []}


def test_an_agent_works_on_own_requests_a_manager_on_all(desk: Desk) -> None:
    request = onboard(desk)
    with desk.crm.session(Actor("9", roles={"service.agent"})) as s, pytest.raises(Denied):
        s.update(ServiceRequest, request.id, {"subject": "Mine now"})
    with desk.crm.session(MANAGER) as s:
        assert s.update(ServiceRequest, request.id, {"owner": "9"}).owner == "9"
