"""The words of a ticket's life, and which step may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import attrs


class TicketStatus(Enum):
    """Where a ticket stands. While it is pending (we wait for the customer) or on hold, no SLA time passes."""

    NEW = "new"
    OPEN = "open"
    PENDING = "pending"
    ON_HOLD = "on_hold"
    SOLVED = "solved"
    CLOSED = "closed"


class Priority(Enum):
    """How pressing a ticket is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class TicketType(Enum):
    """What a ticket is about."""

    QUESTION = "question"
    INCIDENT = "incident"
    PROBLEM = "problem"
    TASK = "task"
    COMPLAINT = "complaint"


class Metric(Enum):
    """What an SLA target is about."""

    FIRST_RESPONSE = "first_response"
    NEXT_RESPONSE = "next_response"
    RESOLUTION = "resolution"


@attrs.frozen
class Milestone:
    """What else an SLA target is about: a step that the policy names, counted from the ticket's opening."""

    value: str


class Recurrence(Enum):
    """Which waits of the customer after the first answer have a target (the terms are those of Salesforce's milestones).

    ``none``: the first one. ``independent``: each, from the customer's word on. ``sequential``: each, but a target begins only when the
    one before it is used up; a wait that ends before that has none.
    """

    NONE = "none"
    INDEPENDENT = "independent"
    SEQUENTIAL = "sequential"


RUNNING = frozenset({TicketStatus.NEW, TicketStatus.OPEN})
DONE = frozenset({TicketStatus.SOLVED, TicketStatus.CLOSED})
NEXT: Mapping[TicketStatus, tuple[TicketStatus, ...]] = {
    TicketStatus.NEW: (TicketStatus.OPEN, TicketStatus.PENDING, TicketStatus.ON_HOLD, TicketStatus.SOLVED),
    TicketStatus.OPEN: (TicketStatus.PENDING, TicketStatus.ON_HOLD, TicketStatus.SOLVED),
    TicketStatus.PENDING: (TicketStatus.OPEN, TicketStatus.ON_HOLD, TicketStatus.SOLVED),
    TicketStatus.ON_HOLD: (TicketStatus.OPEN, TicketStatus.PENDING, TicketStatus.SOLVED),
    TicketStatus.SOLVED: (TicketStatus.OPEN, TicketStatus.CLOSED),
    TicketStatus.CLOSED: (),
}
