"""Reports: tickets by status, how many SLA targets were kept, and how long tickets took. All through the lens."""

from __future__ import annotations

from array import array
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import attrs
from sqlalchemy import func, select

from crm_core import Query, Session

from .measuring import BATCH, batches, measure
from .sla import Clock, ClockState
from .states import Metric, Milestone, Priority, TicketStatus
from .tickets import Ticket

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
Outcome = Literal["met", "breached", "running"]


@attrs.frozen
class Attainment:
    """How the targets of one kind did: ``met`` in time, ``breached``, or still ``running`` in time.

    Attributes:
        month: in which the tickets were opened, as ``2026-03`` (UTC).
    """

    month: str
    priority: Priority
    metric: Metric | Milestone
    met: int
    breached: int
    running: int

    @property
    def percent(self) -> float | None:
        """Kept targets of those that are decided, in per cent with one decimal; None where none is."""
        decided = self.met + self.breached
        return round(100 * self.met / decided, 1) if decided else None


@attrs.frozen
class Throughput:
    """How long the tickets opened in one month took, by the calendar, until they were solved.

    Attributes:
        solved: how many of them are.
        mean: rounded down to the microsecond.
        median, p90: the shortest time within which half, or nine tenths, of them were solved (nearest rank).
    """

    month: str
    solved: int
    mean: timedelta
    median: timedelta
    p90: timedelta
    longest: timedelta


def tickets_by_status(session: Session) -> dict[TicketStatus, int]:
    """Count the tickets that are not closed, by status; every status is there."""
    counting = func.count().label("tickets")
    statement = select(Ticket.status, counting).where(Ticket.status != TicketStatus.CLOSED).group_by(Ticket.status)
    counted = {row.status: row.tickets for row in session.execute(statement)}
    return {status: counted.get(status, 0) for status in TicketStatus if status is not TicketStatus.CLOSED}


def sla_report(session: Session, since: date, until: date) -> list[Attainment]:
    """Count kept and broken targets of the tickets opened from *since* to *until*, both inclusive, in UTC; each wait counts."""
    query = _opened(session, since, until).where(Ticket.sla.is_not(None))
    counts: Counter[tuple[str, Priority, Metric | Milestone, Outcome]] = Counter()
    for batch in batches(query.stream(BATCH)):
        _count(session, batch, counts)
    rows = sorted({key[:3] for key in counts}, key=lambda k: (k[0], list(Priority).index(k[1]), _place(k[2])))
    return [Attainment(*row, *(counts[*row, outcome] for outcome in ("met", "breached", "running"))) for row in rows]


def throughput_report(session: Session, since: date, until: date) -> list[Throughput]:
    """Say how long the tickets opened from *since* to *until* (both inclusive, in UTC) took until they were solved, by month."""
    months: dict[str, array[int]] = {}
    for ticket in _opened(session, since, until).where(Ticket.solved_at.is_not(None)).stream(BATCH):
        assert ticket.opened_at is not None
        assert ticket.solved_at is not None
        passed = (ticket.solved_at - ticket.opened_at) // _MICROSECOND
        months.setdefault(f"{ticket.opened_at:%Y-%m}", array("q")).append(passed)
    return [_throughput(month, sorted(passed)) for month, passed in sorted(months.items())]


def _throughput(month: str, passed: list[int]) -> Throughput:
    n = len(passed)
    mean, median, p90 = sum(passed) // n, passed[(n + 1) // 2 - 1], passed[(9 * n + 9) // 10 - 1]
    return Throughput(month, n, *(timedelta(microseconds=each) for each in (mean, median, p90, passed[-1])))


def _opened(session: Session, since: date, until: date) -> Query[Ticket]:
    first, last = (datetime.combine(day, time(), UTC) for day in (since, min(until, date.max - _DAY) + _DAY))
    return session.query(Ticket).where(Ticket.opened_at >= first, Ticket.opened_at < last)


def _place(metric: Metric | Milestone) -> tuple[int, str]:
    """Sort milestones after what every policy may have."""
    return (len(Metric), metric.value) if isinstance(metric, Milestone) else (list(Metric).index(metric), "")


def _count(session: Session, tickets: list[Ticket], counts: Counter[tuple[str, Priority, Metric | Milestone, Outcome]]) -> None:
    found = measure(session, tickets)
    for ticket in tickets:
        for clock in found.get(ticket.id, ()):
            counts[f"{ticket.opened_at:%Y-%m}", ticket.priority, clock.metric, _outcome(clock)] += 1


def _outcome(clock: Clock) -> Outcome:
    if clock.state is ClockState.MET:
        return "met"
    return "breached" if clock.breached else "running"
