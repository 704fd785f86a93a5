"""Actions: what screens, REST, automations and tests call to work on tickets."""

from __future__ import annotations

import attrs

from crm_core import Ref, Session

from .comments import TicketComment
from .plugin import plugin
from .requests import RequestStatus, ServiceRequest
from .service import Service
from .tickets import Ticket


@attrs.define
class AssignTicket:
    """Give a ticket to a user."""

    ticket: Ref[Ticket]
    to: str


@attrs.define
class ReplyToTicket:
    """Answer the customer, or leave an internal remark."""

    ticket: Ref[Ticket]
    body: str
    internal: bool = False


@attrs.define
class SolveTicket:
    """Call a ticket solved, with a last answer where there is one to give."""

    ticket: Ref[Ticket]
    answer: str | None = None


@attrs.define
class ReopenTicket:
    """Open a solved ticket again, and say why."""

    ticket: Ref[Ticket]
    reason: str


@attrs.define
class CompleteRequest:
    """Call a request done."""

    request: Ref[ServiceRequest]


@plugin.action(on=Ticket, permission="service.work", label="service.action.assign")
def assign_ticket(session: Session, command: AssignTicket) -> Ticket:
    """Give a ticket to a user."""
    return session.use(Service).assign(command.ticket, command.to)


@plugin.action(on=Ticket, permission="service.work", label="service.action.reply")
def reply_to_ticket(session: Session, command: ReplyToTicket) -> TicketComment:
    """Say something on a ticket."""
    return session.use(Service).reply(command.ticket, command.body, internal=command.internal)


@plugin.action(on=Ticket, permission="service.work", label="service.action.solve")
def solve_ticket(session: Session, command: SolveTicket) -> Ticket:
    """Solve a ticket; the answer is said first, so that it counts as a response."""
    if command.answer:
        session.use(Service).reply(command.ticket, command.answer)
    return session.use(Service).solve(command.ticket)


@plugin.action(on=Ticket, permission="service.work", label="service.action.reopen")
def reopen_ticket(session: Session, command: ReopenTicket) -> Ticket:
    """Open a solved ticket again; the reason stays as an internal remark."""
    ticket = session.use(Service).reopen(command.ticket)
    session.use(Service).reply(command.ticket, command.reason, internal=True)
    return ticket


@plugin.action(on=ServiceRequest, permission="service.work", label="service.action.complete")
def complete_request(session: Session, command: CompleteRequest) -> ServiceRequest:
    """Call a request done."""
    return session.update(ServiceRequest, command.request, {"status": RequestStatus.DONE})
