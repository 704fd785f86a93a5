"""Warnings and breaches: each is noticed once a clock, whether a job or the end of the clock finds it [C40]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import ClassVar

from crm_core import Change, CRMError, Entity, Event, Field, Ref, Session, WriteCtx, after_write, field

from .comments import TicketComment
from .measuring import BATCH, batches, measure
from .plugin import plugin
from .settings import Settings
from .sla import Clock
from .states import DONE, TicketStatus
from .tickets import Ticket, is_solved


class NoticeKind(Enum):
    """How far a target was used up when it was noticed."""

    WARNING = "warning"
    BREACH = "breach"


class SlaNotice(Entity):
    """A warning or breach of one clock of a ticket. ``key`` is unique, so that no two jobs notice the same twice.

    Attributes:
        kind: a warning or a breach.
        metric: which clock: the target's name.
        due: when the clock runs out.
    """

    __append_only__: ClassVar[bool] = True

    ticket: Field[Ref[Ticket]] = field(on_delete="cascade", index=True)
    kind: Field[NoticeKind]
    metric: Field[str] = field(length=40)
    due: Field[datetime | None] = field(default=None)
    key: Field[str] = field(length=150, unique=True)


class SlaWarned(Event[Ticket], name="service.sla_warned", version=1):
    """A target of a ticket is nearly used up; ``due`` is when it will be, None while the ticket pauses."""

    metric: str
    due: datetime | None


class SlaBreached(Event[Ticket], name="service.sla_breached", version=1):
    """A target of a ticket was not kept; ``due`` is when it was used up."""

    metric: str
    due: datetime | None


plugin.entities(SlaNotice)
plugin.events(SlaWarned, SlaBreached)


@plugin.job(every="*/5 * * * *", per_tenant=True)
def check_slas(session: Session) -> None:
    """Look at every ticket whose clocks run."""
    notice_all(session)


def notice_all(session: Session) -> int:
    """Notice what is due on all tickets that are not solved, and return how many notices are new."""
    living = [s for s in TicketStatus if s not in DONE]
    tickets = session.query(Ticket).where(Ticket.status.in_(living), Ticket.sla.is_not(None)).stream(BATCH)
    return sum(notice(session, batch) for batch in batches(tickets))


def notice(session: Session, tickets: Sequence[Ticket]) -> int:
    """Store what is new of the tickets' warnings and breaches; the events follow from the stored notices.

    Returns:
        how many notices were new.
    """
    percent = session.settings(Settings).warn_percent
    found = measure(session, tickets)
    latest = [(ticket, clock) for ticket in tickets for clock in {c.metric: c for c in found.get(ticket.id, ())}.values()]
    wanted = {n.key: n for ticket, clock in latest for n in _notices(ticket, clock, percent)}
    known = {n.key for n in session.query(SlaNotice).where(SlaNotice.ticket.in_([t.id for t in tickets])).all()} if wanted else set()
    done = session.create_many([n for key, n in wanted.items() if key not in known], on_error="collect")
    for _, error in done.failed:
        _unless_another_was_first(error)
    return len(done.ok)


def _notices(ticket: Ticket, clock: Clock, percent: int) -> Iterator[SlaNotice]:
    kinds = [NoticeKind.WARNING] if clock.consumed_percent() >= percent else []
    kinds += [NoticeKind.BREACH] if clock.breached else []
    for kind in kinds:
        key = f"{ticket.id}:{clock.metric.value}:{kind.value}:{clock.started.isoformat()}"
        yield SlaNotice(ticket=ticket.ref, kind=kind, metric=clock.metric.value, due=clock.due, key=key)


def _unless_another_was_first(error: CRMError) -> None:
    if error.code != "not_unique":
        raise error


@plugin.hook(after_write, on=SlaNotice)
def tell(ctx: WriteCtx, changes: list[Change]) -> None:
    """Publish an event for each notice that was stored."""
    events: list[Event[Ticket]] = []
    for change in changes:
        record = change.record
        assert isinstance(record, SlaNotice)
        if ctx.op == "create":
            event = SlaWarned if record.kind is NoticeKind.WARNING else SlaBreached
            events.append(event(record=record.ticket, metric=record.metric, due=record.due))
    ctx.session.emit(*events)


@plugin.hook(after_write, on=Ticket, after="service.keep_log")
def notice_at_solution(ctx: WriteCtx, changes: list[Change]) -> None:
    """A clock that ends is looked at now: no job would see that it was late."""
    solved = [c.record for c in changes if ctx.op == "update" and is_solved(c)]
    tickets = [t for t in solved if isinstance(t, Ticket) and t.sla is not None]
    if tickets:
        with ctx.elevated("SLA check") as session:
            notice(session, tickets)


@plugin.hook(after_write, on=TicketComment, after="service.move_ticket")
def notice_at_response(ctx: WriteCtx, changes: list[Change]) -> None:
    """The same for clocks that an answer ends."""
    answers = [c.record for c in changes if ctx.op == "create" and isinstance(c.record, TicketComment)]
    ids = {c.ticket.id for c in answers if not c.internal and not c.inbound}
    if ids:
        with ctx.elevated("SLA check") as session:
            notice(session, [t for t in session.get_many(Ticket, ids) if t.sla is not None])
