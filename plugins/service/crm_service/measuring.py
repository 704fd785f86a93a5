"""From stored records to clocks: reads what an SLA is computed from, for many tickets in a few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from crm_core import Session

from .calendars import BusinessCalendar, working_time
from .comments import TicketComment
from .milestones import TicketMilestone
from .policies import SlaPolicy, Targets, read_targets
from .sla import Clock, Message, Step, clocks
from .states import Recurrence
from .tickets import Ticket, TicketChange, now
from .worktime import WorkingTime

BATCH = 500


def measure(session: Session, tickets: Sequence[Ticket], *, at: datetime | None = None) -> dict[str, list[Clock]]:
    """Return the clocks of tickets by id, as they stood at an instant (now where none is given).

    A ticket without a policy that this session's actor may see has none.
    """
    found: dict[str, list[Clock]] = {}
    for start in range(0, len(tickets), BATCH):
        found |= _measure(session, [t for t in tickets[start : start + BATCH] if t.sla is not None], at or now(session))
    return found


def batches(tickets: Iterable[Ticket]) -> Iterator[list[Ticket]]:
    """Yield a stream of tickets in lists that :func:`measure` reads with one round of statements."""
    stream = iter(tickets)
    while batch := list(islice(stream, BATCH)):
        yield batch


def _measure(session: Session, tickets: list[Ticket], at: datetime) -> dict[str, list[Clock]]:
    promises = _promises(session, tickets)
    ids = [t.id for t in tickets if t.sla is not None and t.sla.id in promises]
    if not ids:
        return {}
    logs, messages, reached = _logs(session, ids), _messages(session, ids), _reached(session, ids)
    result = {}
    for ticket in tickets:
        if ticket.sla is not None and ticket.sla.id in promises:
            targets, calendar, recurrence = promises[ticket.sla.id]
            result[ticket.id] = clocks(targets, calendar, logs[ticket.id], messages[ticket.id], at, recurrence, reached[ticket.id])
    return result


def _promises(session: Session, tickets: list[Ticket]) -> dict[str, tuple[Targets, WorkingTime, Recurrence]]:
    """Return the targets, the calendar and the recurrence of each policy that the tickets have."""
    policies = session.get_many(SlaPolicy, {t.sla.id for t in tickets if t.sla is not None})
    calendars = {c.id: working_time(c) for c in session.get_many(BusinessCalendar, {p.calendar.id for p in policies})}
    return {p.id: (read_targets(p), calendars[p.calendar.id], p.recurrence) for p in policies if p.calendar.id in calendars}


def _logs(session: Session, ids: list[str]) -> dict[str, list[Step]]:
    logs: dict[str, list[Step]] = defaultdict(list)
    query = session.query(TicketChange).where(TicketChange.ticket.in_(ids)).order_by(TicketChange.at, TicketChange.id)
    for change in query.all():
        logs[change.ticket.id].append(Step(change.at, change.status, change.priority))
    return logs


def _messages(session: Session, ids: list[str]) -> dict[str, list[Message]]:
    messages: dict[str, list[Message]] = defaultdict(list)
    query = session.query(TicketComment).where(TicketComment.ticket.in_(ids), TicketComment.internal.is_(False))
    for comment in query.order_by(TicketComment.created_at, TicketComment.id).all():
        messages[comment.ticket.id].append(Message(comment.created_at, comment.inbound))
    return messages


def _reached(session: Session, ids: list[str]) -> dict[str, dict[str, datetime]]:
    reached: dict[str, dict[str, datetime]] = defaultdict(dict)
    for milestone in session.query(TicketMilestone).where(TicketMilestone.ticket.in_(ids)).all():
        assert milestone.at is not None
        reached[milestone.ticket.id][milestone.name] = milestone.at
    return reached
