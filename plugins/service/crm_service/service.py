"""Service: what hosts and other plugins call, ``session.use(Service)``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from crm_core import Account, Contact, Entity, Invalid, Money, Ref, Session

from . import agent_card, complaints, history, invitations, milestones, reports, requests, surveys
from .agent_card import AgentCard
from .comments import TicketComment
from .complaints import Complaint, ComplaintStatus
from .history import Case, Rebuilt
from .invitations import Invited, SurveyToken
from .measuring import measure
from .milestones import TicketMilestone
from .notices import notice_all
from .plugin import plugin
from .requests import Commitment, Promise, ServiceRequest
from .scoring import Method
from .sla import Clock
from .states import TicketStatus
from .surveys import Survey, SurveyResult
from .tickets import Ticket


@plugin.service
class Service:
    """The service module in one session; everything is done and seen as its actor may."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # Tickets

    def reply(self, ticket: Ticket | Ref[Ticket], body: str, *, internal: bool = False) -> TicketComment:
        """Answer the customer, or leave a remark for ourselves."""
        return self._session.create(TicketComment(ticket=_ref(ticket), body=body, internal=internal))

    def receive(self, ticket: Ticket | Ref[Ticket], body: str) -> TicketComment:
        """Take in what the customer says; a pending or solved ticket opens again.

        Raises:
            Refused: ``service.reopen_window_passed``: it was solved too long ago, so it takes a new ticket.
        """
        return self._session.create(TicketComment(ticket=_ref(ticket), body=body, inbound=True))

    def assign(self, ticket: Ticket | Ref[Ticket], to: str) -> Ticket:
        """Give a ticket to somebody."""
        return self._session.update(Ticket, _ref(ticket), {"owner": to})

    def move(self, ticket: Ticket | Ref[Ticket], status: TicketStatus) -> Ticket:
        """Bring a ticket into another state.

        Raises:
            Refused: ``service.bad_transition`` or ``service.reopen_window_passed``.
        """
        return self._session.update(Ticket, _ref(ticket), {"status": status})

    def solve(self, ticket: Ticket | Ref[Ticket]) -> Ticket:
        """Call a ticket solved."""
        return self.move(ticket, TicketStatus.SOLVED)

    def reopen(self, ticket: Ticket | Ref[Ticket]) -> Ticket:
        """Open a solved ticket again, within the window of the settings."""
        return self.move(ticket, TicketStatus.OPEN)

    def rebuild(self, cases: Iterable[Case]) -> Rebuilt:
        """Take tickets in with their past, from another system's log; the SLA is computed from it as if they had always been here.

        A case whose ``ref`` is known is left as it is, so the same log can be taken in again. No events of the past are told. What was
        said is not taken in, so response targets of these tickets speak of their solution alone.

        Args:
            cases: any iterable; it is read in batches, and taken in whole or not at all.

        Raises:
            Denied: the actor may not write the log (managers may).
            NotFound: an account or contact of a case is not there for this actor.
            Invalid: ``service.bad_case`` names the case and what is expected.
        """
        return history.rebuild(self._session, cases)

    # SLA

    def sla(self, ticket: Ticket | Ref[Ticket], *, at: datetime | None = None) -> list[Clock]:
        """Return the clocks of a ticket as they stand now or stood at an instant.

        Raises:
            Invalid: ``naive_datetime``; ``service.bad_span``: the instant is more than a century after the ticket.
        """
        found = self._session.get(Ticket, _ref(ticket))
        if at is not None:
            if at.utcoffset() is None:
                raise Invalid("naive_datetime", field="at")
            surveys.check_span((found.opened_at or found.created_at).date(), at.date())
        return measure(self._session, [found], at=at).get(found.id, [])

    def reach(self, ticket: Ticket | Ref[Ticket], milestone: str) -> TicketMilestone:
        """Note that a ticket has reached a milestone of its policy now; a second call returns the first one's.

        Raises:
            Refused: ``service.unknown_milestone``: the policy does not name it.
        """
        return milestones.reach(self._session, _ref(ticket), milestone)

    def check_slas(self) -> int:
        """Notice warnings and breaches that are due, each once, and return how many are new. The module's job does this every 5 minutes."""
        with self._session.elevated("SLA check") as session:
            return notice_all(session)

    # Requests

    def open_onboarding(
        self, *, source: str, deal: str, account: Ref[Account] | None, owner: str | None = None, commitments: Sequence[Commitment] = ()
    ) -> ServiceRequest:
        """Open the onboarding request of a deal, once a *source*; a second call returns it, with what was promised since added."""
        return requests.open_onboarding(self._session, source=source, deal=deal, account=account, owner=owner, commitments=commitments)

    def open_promises(self, account: Account | Ref[Account]) -> list[Promise]:
        """Return what a customer was promised and did not get yet, the most pressing first."""
        return requests.open_promises(self._session, account if isinstance(account, Ref) else account.ref)

    # Customers

    def agent_card(self, of: Account | Contact | Ref[Account] | Ref[Contact]) -> AgentCard:
        """Return what an agent should know of an account or a person, in one call, as far as the agent may see it.

        Raises:
            NotFound: the record is not there for this actor.
        """
        return agent_card.agent_card(self._session, of if isinstance(of, Ref) else of.ref)

    # Surveys

    def invite(
        self, survey: Survey | Ref[Survey], contacts: Iterable[Contact | Ref[Contact]], *, about: Entity | Ref[Any] | None = None
    ) -> list[Invited]:
        """Invite people to a survey and return who is to be asked, each with a token that answers once.

        Left out are those who were asked anything in the survey's quiet period and, where it asks a sample, those who are not in it.

        Args:
            about: the ticket or other record that the question is about.

        Raises:
            NotFound: the survey, a contact, or what it is about is not there for this actor.
            Denied: the actor may not invite.
            Refused: ``service.survey_closed``: the survey is not active.
        """
        people = (c if isinstance(c, Ref) else c.ref for c in contacts)
        return invitations.invite(self._session, survey if isinstance(survey, Ref) else survey.ref, people, about)

    def respond(self, token: str | SurveyToken, score: int, comment: str = "") -> None:
        """Take an answer in; a low score opens a ticket. The token is the right to answer: the session's actor needs no other.

        Raises:
            NotFound: ``service.survey_token``: the token is unknown, was used, or is too old; which of these is not told.
            Refused: ``service.bad_score``: the score is not on the survey's scale. The token still works.
        """
        invitations.respond(self._session, token, score, comment)

    def survey_report(self, survey: Survey | Ref[Survey], since: date, until: date, *, method: Method) -> list[SurveyResult]:
        """Score a survey by month, with the answers of a period (both days inclusive, UTC), by a method that you name.

        Raises:
            Invalid: ``service.bad_method``: it is not one for this kind of survey.
        """
        return surveys.survey_report(self._session, survey if isinstance(survey, Ref) else survey.ref, since, until, method=method)

    # Complaints

    def acknowledge(self, complaint: Complaint | Ref[Complaint]) -> Complaint:
        """Tell the customer that we look into it, and note when that was."""
        return self._step(complaint, status=ComplaintStatus.ACKNOWLEDGED)

    def offer(
        self, complaint: Complaint | Ref[Complaint], *, root_cause: str, resolution: str, compensation: Money | None = None
    ) -> Complaint:
        """Offer the customer a resolution, once it is known what went wrong.

        Raises:
            Refused: ``service.resolution_missing``, or ``service.bad_complaint_step``: it was not acknowledged yet.
        """
        return self._step(
            complaint, status=ComplaintStatus.OFFERED, root_cause=root_cause, resolution=resolution, compensation=compensation
        )

    def answer_offer(self, complaint: Complaint | Ref[Complaint], *, accepted: bool) -> Complaint:
        """Note whether the customer accepts; a rejected offer leaves the complaint open for another one."""
        return self._step(complaint, status=ComplaintStatus.ACCEPTED if accepted else ComplaintStatus.ACKNOWLEDGED)

    def overdue_complaints(self) -> list[Complaint]:
        """Return the complaints that should have been acknowledged, or answered for good, by now."""
        return complaints.overdue(self._session)

    def _step(self, complaint: Complaint | Ref[Complaint], **changes: Any) -> Complaint:
        return self._session.update(Complaint, complaint if isinstance(complaint, Ref) else complaint.ref, changes)

    # Reports

    def tickets_by_status(self) -> dict[TicketStatus, int]:
        """Count the tickets that are not closed, by status."""
        return reports.tickets_by_status(self._session)

    def sla_report(self, since: date, until: date) -> list[reports.Attainment]:
        """Say how many targets of the tickets opened in a period (both days inclusive, UTC) were kept, by month, priority and metric."""
        return reports.sla_report(self._session, since, until)

    def throughput_report(self, since: date, until: date) -> list[reports.Throughput]:
        """Say how long the tickets opened in a period (both days inclusive, UTC) took until they were solved, by month."""
        return reports.throughput_report(self._session, since, until)


def _ref(ticket: Ticket | Ref[Ticket]) -> Ref[Ticket]:
    return ticket if isinstance(ticket, Ref) else ticket.ref
