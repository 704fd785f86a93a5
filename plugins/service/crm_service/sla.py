"""The SLA of a ticket, computed on read from its log, its messages and a calendar: nothing is stored, so it can always be recomputed [C40].

A clock runs while its ticket is new or open and its calendar is at work; while the ticket is pending or on hold it stands, and only the
working time of that pause is given back [G1]. A change of priority sets another target and keeps what was consumed; a target that is
overrun by such a change is due at the change, not before. A solution stops all clocks, and a reopened ticket's resolution goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import MappingProxyType

import attrs

from .policies import Targets
from .states import DONE, RUNNING, Metric, Milestone, Priority, Recurrence, TicketStatus
from .worktime import Span, WorkingTime, reached, worked

Wait = tuple[datetime, datetime | None]
FUTURE = datetime.max.replace(tzinfo=UTC)


@attrs.frozen
class Step:
    """A ticket's status and priority from an instant on."""

    at: datetime
    status: TicketStatus
    priority: Priority


@attrs.frozen
class Message:
    """Something said between us and the customer."""

    at: datetime
    inbound: bool


class ClockState(Enum):
    """How a target stands."""

    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"


@attrs.frozen
class Clock:
    """One target of one ticket.

    Attributes:
        target: the working time promised.
        started, stopped: when it began, and when what was promised was done; None where it was not yet.
        consumed: working time used, pauses left out.
        due: when the target is, was or would have been used up; None while a pause keeps that open.
    """

    metric: Metric | Milestone
    target: timedelta
    started: datetime
    stopped: datetime | None
    consumed: timedelta
    due: datetime | None
    state: ClockState

    @property
    def remaining(self) -> timedelta:
        """Working time left; negative after a breach."""
        return self.target - self.consumed

    @property
    def breached(self) -> bool:
        """Whether the promise is broken, be it that it was kept later."""
        return self.state is ClockState.BREACHED

    def consumed_percent(self) -> int:
        """Return the share of the target that is used, in whole per cent, rounded down."""
        return self.consumed * 100 // self.target


def clocks(
    targets: Targets,
    calendar: WorkingTime,
    log: Sequence[Step],
    messages: Sequence[Message],
    at: datetime,
    recurrence: Recurrence = Recurrence.INDEPENDENT,
    reached: Mapping[str, datetime] = MappingProxyType({}),
) -> list[Clock]:
    """Return the clocks of a ticket as they stand at an instant; metrics without a target for its priority are left out.

    There is one ``next_response`` for each wait of the customer that has a target, in order; of the others there is one.

    Args:
        log: the ticket's steps in order, at least one.
        messages: what was said publicly, in order.
        reached: when milestones were, by name; a solution stops the clocks of the others.
    """
    log = [s for s in log if s.at <= at]
    messages = [m for m in messages if m.at <= at]
    if not log:
        return []

    def clock(metric: Metric | Milestone, span: Wait) -> Clock | None:
        return _clock(metric, span, targets, calendar, log, at)

    first = clock(Metric.FIRST_RESPONSE, _first_response(log, messages))
    waits = _recurring(lambda wait: clock(Metric.NEXT_RESPONSE, wait), _waits(log, messages), recurrence, at)
    resolution = clock(Metric.RESOLUTION, (log[0].at, _solution(log)))
    named = sorted({m.value for _, m in targets if isinstance(m, Milestone)})
    milestones = [clock(Milestone(name), (log[0].at, _milestone(log, reached.get(name), at))) for name in named]
    return [c for c in (first, *waits, resolution, *milestones) if c is not None]


def _recurring(
    clock: Callable[[Wait], Clock | None], waits: Iterable[Wait], recurrence: Recurrence, at: datetime
) -> Iterator[Clock | None]:
    """Yield the clocks of those waits that have a target."""
    before: Clock | None = None
    for started, stopped in waits:
        if before is not None and recurrence is Recurrence.NONE:
            return
        if before is not None and before.due is not None and recurrence is Recurrence.SEQUENTIAL:
            started = max(started, before.due)
        if started <= (stopped or at):
            before = clock((started, stopped)) or before
            yield before


def _solution(log: Sequence[Step]) -> datetime | None:
    """Return when the ticket became done for good."""
    at = None
    for step in reversed(log):
        if step.status not in DONE:
            break
        at = step.at
    return at


def _first_done(log: Sequence[Step], since: datetime) -> datetime | None:
    return next((s.at for s in log if s.at >= since and s.status in DONE), None)


def _first_response(log: Sequence[Step], messages: Sequence[Message]) -> Wait:
    answers = (m.at for m in messages if not m.inbound)
    return log[0].at, min(filter(None, (next(answers, None), _first_done(log, log[0].at))), default=None)


def _milestone(log: Sequence[Step], reached: datetime | None, at: datetime) -> datetime | None:
    known = reached if reached is not None and reached <= at else None
    return min(filter(None, (known, _first_done(log, log[0].at))), default=None)


def _waits(log: Sequence[Step], messages: Sequence[Message]) -> Iterator[Wait]:
    """Yield the customer's waits for an answer after the first, the last one perhaps still going on."""
    waiting: datetime | None = None
    answered = False
    for message in messages:
        if not message.inbound:
            if waiting is not None:
                yield waiting, message.at
            waiting, answered = None, True
        elif answered and waiting is None:
            waiting = message.at
    if waiting is not None:
        yield waiting, _first_done(log, waiting)


def _clock(
    metric: Metric | Milestone, span: Wait, targets: Targets, calendar: WorkingTime, log: Sequence[Step], at: datetime
) -> Clock | None:
    started, stopped = span
    end = stopped or at
    target, since = _target(lambda priority: targets.get((priority, metric)), log, started, end)
    if target is None:
        return None
    spans = list(_running(log, started, end))
    consumed = worked(calendar, spans)
    goes_on = stopped is not None or log[-1].status in RUNNING
    ahead = [(s, FUTURE if goes_on and t == end else t) for s, t in spans]
    due = reached(calendar, ahead, target)
    if due is not None:
        due = max(due, since)
    if due is not None and end > due:
        state = ClockState.BREACHED
    elif stopped is not None:
        state = ClockState.MET
    else:
        state = ClockState.RUNNING if log[-1].status in RUNNING else ClockState.PAUSED
    return Clock(metric, target, started, stopped, consumed, due, state)


def _running(log: Sequence[Step], started: datetime, end: datetime) -> Iterator[Span]:
    """Yield the spans between two instants in which the clock runs; one that reaches *end* may be empty."""
    for step, following in zip(log, [*log[1:], None], strict=True):
        since, till = max(step.at, started), min(following.at if following else end, end)
        last = following is None or following.at > end
        if step.status in RUNNING and (since < till or (last and since == till)):
            yield since, till


def _target(
    of: Callable[[Priority], timedelta | None], log: Sequence[Step], started: datetime, end: datetime
) -> tuple[timedelta | None, datetime]:
    """Return the target in force at *end*, and since when it is."""
    target, since = of(log[0].priority), started
    for step in log:
        if step.at > end:
            break
        if of(step.priority) != target:
            target, since = of(step.priority), max(step.at, started)
    return target, since
