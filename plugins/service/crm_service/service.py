"""Service: what hosts and other plugins call, ``session.use(Service)``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from crm_core import Account, Ref, Session

from . import reports, requests
from .comments import TicketComment
from .measuring import measure
from .notices import notice_all
from .plugin import plugin
from .requests import Commitment, Promise, ServiceRequest
from .sla import Clock
from .states import TicketStatus
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

    # SLA

    def sla(self, ticket: Ticket | Ref[Ticket], *, at: datetime | None = None) -> list[Clock]:
        """Return the clocks of a ticket as they stand now or stood at an instant."""
        found = self._session.get(Ticket, _ref(ticket))
        return measure(self._session, [found], at=at).get(found.id, [])

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

    # Reports

    def tickets_by_status(self) -> dict[TicketStatus, int]:
        """Count the tickets that are not closed, by status."""
        return reports.tickets_by_status(self._session)

    def sla_report(self, since: date, until: date) -> list[reports.Attainment]:
        """Say how many targets of the tickets that came in a period (both days inclusive, UTC) were kept, by month, priority and metric."""
        return reports.sla_report(self._session, since, until)


def _ref(ticket: Ticket | Ref[Ticket]) -> Ref[Ticket]:
    return ticket if isinstance(ticket, Ref) else ticket.ref
