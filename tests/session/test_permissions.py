"""Every permission of core, sales and service opens what it is for, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

import crm_sales
import crm_service
from crm_core import CRM, Account, Actor, Denied, Entity, Money, NotFound, Role, Session
from crm_sales.api import Lead, LineDraft, Opportunity, Order, Quote, Sales, TakeIn
from crm_sales.api import Settings as SalesSettings
from crm_service.api import Complaint, RequestKind, RespondToSurvey, ServiceRequest, Severity, Ticket
from crm_service.api import Settings as ServiceSettings

ACTIONS = {
    "sales.claim": {"sales.claim"},
    "sales.release": {"sales.release"},
    "sales.convert": {"sales.convert"},
    "sales.win": {"sales.win"},
    "sales.lose": {"sales.lose"},
    "sales.move": {"sales.move"},
    "sales.reopen": {"sales.reopen"},
    "sales.quote": {"sales.send_quote", "sales.accept_quote"},
    "sales.order": {"sales.place_order", "sales.confirm_order"},
    "service.work": {
        *("service.assign_ticket", "service.reply_to_ticket", "service.solve_ticket", "service.reopen_ticket"),
        *("service.complete_request", "service.reach_milestone"),
        *("service.acknowledge_complaint", "service.offer_resolution", "service.answer_offer"),
    },
}


def _answer(s: Session) -> None:
    """With the permission, an unknown token is not found; without it, one is not even asked for it."""
    with pytest.raises(NotFound):
        s.perform(RespondToSurvey(token="unknown", score=1))


OTHERS: dict[str, Callable[[Session], Any]] = {
    "sales.take_in": lambda s: s.perform(TakeIn(name="Anna")),
    "core.roles": lambda s: s.define_role(Role("intern")),
    "sales.settings": lambda s: s.change_settings(SalesSettings, {"currency": "EUR"}),
    "service.respond": _answer,
    "service.settings": lambda s: s.change_settings(ServiceSettings, {"reopen_days": 7}),
}
RECORDS: tuple[type[Entity], ...] = (Lead, Opportunity, Quote, Order, Ticket, ServiceRequest, Complaint)
SYSTEM = Actor.system("test", tenant="main")


def may(permission: str) -> Role:
    role = Role(permission).allow(Lead, "create", "update").permit(permission)
    for entity in RECORDS:
        role.allow(entity, "read")
    return role


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    found: CRM = make_crm(plugins=[crm_sales.plugin, crm_service.plugin], roles=[may(p) for p in [*ACTIONS, *OTHERS]])
    return found


def test_the_actions_on_a_record_open_with_their_permission_alone(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        s.create(Lead(name="Anna"))
        deal = s.create(Opportunity(name="100 seats", account=s.create(Account(name="Acme")).ref, amount=Money(1, "EUR")))
        quote = s.use(Sales).quote(deal, [LineDraft(description="seat", price=Money(100, "EUR"))])
        s.use(Sales).order(s.use(Sales).accept(s.use(Sales).send(quote)))
        s.create(Complaint(ticket=s.create(Ticket(subject="The printer burns")).ref, severity=Severity.MINOR))
        s.create(ServiceRequest(subject="Onboarding", kind=RequestKind.ONBOARDING, due=date(2026, 5, 4)))
    opened = {}
    for permission in ACTIONS:
        with crm.session(Actor("7", roles={permission}), write=False) as s:
            found = [info for entity in RECORDS for record in s.query(entity).all() for info in s.actions(record)]
        assert len(found) == sum(map(len, ACTIONS.values()))
        opened[permission] = {info.name for info in found if info.allowed}
    assert opened == ACTIONS


@pytest.mark.parametrize("permission", OTHERS)
def test_what_is_about_no_record_opens_with_its_permission_alone(crm: CRM, permission: str) -> None:
    with crm.session(Actor("7", roles={permission})) as s:
        OTHERS[permission](s)
    others = frozenset({*ACTIONS, *OTHERS} - {permission})
    with crm.session(Actor("7", roles=others)) as s, pytest.raises(Denied) as raised:
        OTHERS[permission](s)
    assert raised.value.params["action"] == permission
