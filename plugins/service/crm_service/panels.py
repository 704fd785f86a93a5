"""Panels: what service shows beside a customer and a ticket."""

from __future__ import annotations

from typing import Any

from crm_core import Account, Contact, Query, Session

from .agent_card import readable
from .plugin import plugin
from .requests import Promise, open_promises
from .states import TicketStatus
from .surveys import Survey, SurveyResponse
from .tickets import Ticket

MOST = 20


@plugin.panel(Account, label="service.panel.tickets", reads=[Ticket])
def tickets_of_account(session: Session, account: Account) -> dict[str, Any]:
    """The tickets of a customer that are not solved, the newest first."""
    return _open(session.query(Ticket).where(Ticket.account == account.ref))


@plugin.panel(Contact, label="service.panel.tickets", reads=[Ticket])
def tickets_of_contact(session: Session, contact: Contact) -> dict[str, Any]:
    """The tickets of a person that are not solved, the newest first."""
    return _open(session.query(Ticket).where(Ticket.contact == contact.ref))


@plugin.panel(Account, label="service.panel.promises", reads=[Promise])
def promises_of_account(session: Session, account: Account) -> dict[str, Any]:
    """What a customer was promised and did not get yet."""
    return {"promises": [_shown(p) for p in open_promises(session, account.ref)]}


@plugin.panel(Ticket, label="service.panel.promises", reads=[Promise])
def promises_of_ticket(session: Session, ticket: Ticket) -> dict[str, Any]:
    """The same beside a ticket of that customer [C24]."""
    return {"promises": [_shown(p) for p in open_promises(session, ticket.account)] if ticket.account else []}


@plugin.panel(Account, label="service.panel.surveys", reads=[SurveyResponse])
def surveys_of_account(session: Session, account: Account) -> dict[str, Any]:
    """What the people of a customer answered last."""
    return {"answers": _answers(session, session.query(SurveyResponse).where(SurveyResponse.account == account.ref))}


@plugin.panel(Contact, label="service.panel.surveys", reads=[SurveyResponse])
def surveys_of_contact(session: Session, contact: Contact) -> dict[str, Any]:
    """What a person answered last."""
    return {"answers": _answers(session, session.query(SurveyResponse).where(SurveyResponse.contact == contact.ref))}


def _open(tickets: Query[Ticket]) -> dict[str, Any]:
    page = tickets.where(Ticket.status.not_in([TicketStatus.SOLVED, TicketStatus.CLOSED])).order_by(Ticket.id.desc()).page(MOST)
    return {"tickets": page.items, "more": page.has_more}


def _shown(promise: Promise) -> dict[str, Any]:
    return {"what": promise.what, "who": promise.who, "due": promise.due.isoformat() if promise.due else None}


def _answers(session: Session, responses: Query[SurveyResponse]) -> list[dict[str, Any]]:
    found = responses.order_by(SurveyResponse.at.desc()).page(MOST)
    names = {s.id: s.name for s in session.get_many(Survey, {r.survey.id for r in found})}
    return [_answer(names.get(r.survey.id), r) for r in found]


def _answer(survey: str | None, r: SurveyResponse) -> dict[str, Any]:
    return {"survey": survey, "score": readable(lambda: r.score), "comment": readable(lambda: r.comment), "at": r.at.isoformat()}
