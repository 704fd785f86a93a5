"""Actions: what screens, REST, automations and tests call to work on tickets."""

from __future__ import annotations

import attrs

from crm_core import Money, Ref, Session

from .comments import TicketComment
from .complaints import Complaint
from .milestones import TicketMilestone
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


@attrs.define
class ReachMilestone:
    """Note that a ticket has reached a milestone of its policy."""

    ticket: Ref[Ticket]
    milestone: str


@attrs.define
class AcknowledgeComplaint:
    """Note that the customer was told that we look into it."""

    complaint: Ref[Complaint]


@attrs.define
class OfferResolution:
    """Offer the customer a resolution."""

    complaint: Ref[Complaint]
    root_cause: str
    resolution: str
    compensation: Money | None = None


@attrs.define
class AnswerOffer:
    """Note whether the customer accepts what was offered."""

    complaint: Ref[Complaint]
    accepted: bool


@attrs.define
class RespondToSurvey:
    """Answer a survey with the token of an invitation."""

    token: str
    score: int
    comment: str = ""


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


@plugin.action(on=Ticket, permission="service.work", label="service.action.reach")
def reach_milestone(session: Session, command: ReachMilestone) -> TicketMilestone:
    """Note that a milestone is reached."""
    return session.use(Service).reach(command.ticket, command.milestone)


@plugin.action(on=Complaint, permission="service.work", label="service.action.acknowledge")
def acknowledge_complaint(session: Session, command: AcknowledgeComplaint) -> Complaint:
    """Note that a complaint was acknowledged."""
    return session.use(Service).acknowledge(command.complaint)


@plugin.action(on=Complaint, permission="service.work", label="service.action.offer")
def offer_resolution(session: Session, command: OfferResolution) -> Complaint:
    """Offer a resolution."""
    return session.use(Service).offer(
        command.complaint, root_cause=command.root_cause, resolution=command.resolution, compensation=command.compensation
    )


@plugin.action(on=Complaint, permission="service.work", label="service.action.answer_offer")
def answer_offer(session: Session, command: AnswerOffer) -> Complaint:
    """Note the customer's answer to an offer."""
    return session.use(Service).answer_offer(command.complaint, accepted=command.accepted)


@plugin.action(permission="service.respond", label="service.action.respond")
def respond_to_survey(session: Session, command: RespondToSurvey) -> None:
    """Answer a survey."""
    session.use(Service).respond(command.token, command.score, command.comment)
