"""Reports: tickets by status, and how many SLA targets were kept. Both through the lens."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import attrs
from sqlalchemy import func, select

from crm_core import Session

from .measuring import BATCH, batches, measure
from .sla import Clock, ClockState
from .states import Metric, Priority, TicketStatus
from .tickets import Ticket

Outcome = Literal["met", "breached", "running"]


@attrs.frozen
class Attainment:
    """How the targets of one kind did: ``met`` in time, ``breached``, or still ``running`` in time.

    Attributes:
        month: of the tickets' creation, as ``2026-03`` (UTC).
    """

    month: str
    priority: Priority
    metric: Metric
    met: int
    breached: int
    running: int

    @property
    def percent(self) -> float | None:
        """Kept targets of those that are decided, in per cent with one decimal; None where none is."""
        decided = self.met + self.breached
        return round(100 * self.met / decided, 1) if decided else None


def tickets_by_status(session: Session) -> dict[TicketStatus, int]:
    """Count the tickets that are not closed, by status; every status is there."""
    counting = func.count().label("tickets")
    statement = select(Ticket.status, counting).where(Ticket.status != TicketStatus.CLOSED).group_by(Ticket.status)
    counted = {row.status: row.tickets for row in session.execute(statement)}
    return {status: counted.get(status, 0) for status in TicketStatus if status is not TicketStatus.CLOSED}


def sla_report(session: Session, since: date, until: date) -> list[Attainment]:
    """Count kept and broken targets of the tickets created from *since* to *until*, both inclusive, in UTC."""
    first, last = (datetime.combine(day, time(), UTC) for day in (since, until + timedelta(days=1)))
    query = session.query(Ticket).where(Ticket.created_at >= first, Ticket.created_at < last, Ticket.sla.is_not(None))
    counts: Counter[tuple[str, Priority, Metric, Outcome]] = Counter()
    for batch in batches(query.stream(BATCH)):
        _count(session, batch, counts)
    rows = sorted({key[:3] for key in counts}, key=lambda k: (k[0], list(Priority).index(k[1]), list(Metric).index(k[2])))
    return [Attainment(*row, *(counts[*row, outcome] for outcome in ("met", "breached", "running"))) for row in rows]


def _count(session: Session, tickets: list[Ticket], counts: Counter[tuple[str, Priority, Metric, Outcome]]) -> None:
    found = measure(session, tickets)
    for ticket in tickets:
        for clock in found.get(ticket.id, ()):
            counts[f"{ticket.created_at:%Y-%m}", ticket.priority, clock.metric, _outcome(clock)] += 1


def _outcome(clock: Clock) -> Outcome:
    if clock.state is ClockState.MET:
        return "met"
    return "breached" if clock.breached else "running"
