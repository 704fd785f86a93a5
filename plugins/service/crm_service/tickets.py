"""Tickets: what customers ask, the states it goes through, and the log of those states [C36]."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from crm_core import (
    Account,
    Change,
    Channel,
    Contact,
    Entity,
    Event,
    Field,
    Ref,
    Session,
    WriteCtx,
    after_write,
    before_write,
    check_write,
    field,
)

from .plugin import plugin
from .policies import SlaPolicy
from .settings import Settings
from .states import DONE, NEXT, Priority, TicketStatus, TicketType


class Ticket(Entity):
    """A customer's question or trouble.

    ``sla``, ``opened_at`` and ``solved_at`` are kept by the module. ``rebuilt`` says that the ticket was taken in with its past: its log
    up to then came along with it.

    Attributes:
        type: what kind of trouble it is.
    """

    __subject__: ClassVar[str] = "contact"

    subject: Field[str] = field(pii=True)
    description: Field[str] = field(default="", text=True, pii=True)
    account: Field[Ref[Account] | None] = field(default=None)
    contact: Field[Ref[Contact] | None] = field(default=None, on_delete="set_null")
    owner: Field[str | None] = field(default=None)
    status: Field[TicketStatus] = field(default=TicketStatus.NEW, index=True)
    priority: Field[Priority] = field(default=Priority.NORMAL)
    type: Field[TicketType] = field(default=TicketType.QUESTION)
    channel: Field[Channel] = field(default=Channel.OTHER)
    external_ref: Field[str | None] = field(default=None, unique=True)
    sla: Field[Ref[SlaPolicy] | None] = field(default=None, read_only=True)
    opened_at: Field[datetime | None] = field(default=None, index=True, read_only=True)
    solved_at: Field[datetime | None] = field(default=None, read_only=True)
    rebuilt: Field[bool] = field(default=False, read_only=True)


class TicketChange(Entity):
    """One step of a ticket's log: its status and priority from an instant on, and by whom. The SLA is computed from these.

    Attributes:
        status_before: the status until then.
        priority_before: the priority until then.
        status: the status from then on.
        priority: the priority from then on.
    """

    __append_only__: ClassVar[bool] = True

    ticket: Field[Ref[Ticket]] = field(on_delete="cascade", index=True, read_only=True)
    at: Field[datetime] = field(read_only=True)
    by: Field[str] = field(read_only=True)
    status: Field[TicketStatus] = field(read_only=True)
    priority: Field[Priority] = field(read_only=True)
    status_before: Field[TicketStatus | None] = field(default=None, read_only=True)
    priority_before: Field[Priority | None] = field(default=None, read_only=True)


class TicketSolved(Event[Ticket], name="service.ticket_solved", version=1):
    """A ticket was solved."""

    account: Ref[Account] | None = None


class TicketReopened(Event[Ticket], name="service.ticket_reopened", version=1):
    """A solved ticket was opened again."""

    account: Ref[Account] | None = None


plugin.entities(Ticket, TicketChange)
plugin.events(TicketSolved, TicketReopened)


def now(session: Session) -> datetime:
    """Return the CRM's time."""
    return session.crm.runtime.clock.now()


def is_reopened(change: Change) -> bool:
    """Say whether a write opens a solved ticket again."""
    return _was_done(change) and not _is_done(change)


def is_solved(change: Change) -> bool:
    """Say whether a write solves (or closes) a ticket that was not."""
    return _is_done(change) and not _was_done(change)


def _ticket(record: Entity | None) -> Ticket:
    assert isinstance(record, Ticket)
    return record


def _is_done(change: Change) -> bool:
    return _ticket(change.record).status in DONE


def _was_done(change: Change) -> bool:
    return change.old is not None and _ticket(change.old).status in DONE


def is_history(change: Change) -> bool:
    """Say whether a write takes a ticket in with its past, so that nothing happens to it now."""
    return change.old is None and _ticket(change.record).rebuilt


@plugin.hook(before_write, on=Ticket)
def date_solution(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Note when a ticket was opened and solved, and forget the latter when it is opened again."""
    for change in changes:
        ticket = _ticket(change.record)
        if is_history(change):
            continue
        if change.old is None:
            ticket.opened_at = ticket.created_at
        if is_solved(change):
            ticket.solved_at = now(ctx.session)
        elif not _is_done(change):
            ticket.solved_at = None
    return changes


@plugin.hook(check_write, on=Ticket)
def check_transition(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse steps that do not follow each other, and reopening after the window."""
    for change in changes:
        if change.old is None or "status" not in change.fields:
            continue
        before, after = _ticket(change.old), _ticket(change.record)
        if after.status not in NEXT[before.status]:
            words = {"before": before.status.value, "after": after.status.value}
            ctx.refuse(after, "service.bad_transition", field="status", allowed=[s.value for s in NEXT[before.status]], **words)
        elif is_reopened(change) and not may_reopen(ctx.session, before):
            days = ctx.session.settings(Settings).reopen_days
            ctx.refuse(after, "service.reopen_window_passed", field="status", days=days)


def may_reopen(session: Session, ticket: Ticket) -> bool:
    """Say whether a solved ticket's reopening window is still open."""
    window = timedelta(days=session.settings(Settings).reopen_days)
    return ticket.status is TicketStatus.SOLVED and ticket.solved_at is not None and now(session) - ticket.solved_at <= window


@plugin.hook(after_write, on=Ticket)
def keep_log(ctx: WriteCtx, changes: list[Change]) -> None:
    """Log every change of status and priority, whichever path made it, and tell of solved and reopened tickets."""
    living = [c for c in changes if not is_history(c)]
    steps = [_step(ctx.session, c) for c in living if ctx.op == "create" or c.fields & {"status", "priority"}]
    if steps:
        with ctx.elevated("ticket log") as log:
            log.create_many(steps)
    for change in changes:
        ticket = _ticket(change.record)
        if ctx.op == "update" and is_solved(change):
            ctx.session.emit(TicketSolved(record=ticket.ref, account=ticket.account))
        elif ctx.op == "update" and is_reopened(change):
            ctx.session.emit(TicketReopened(record=ticket.ref, account=ticket.account))


def _step(session: Session, change: Change) -> TicketChange:
    ticket, old = _ticket(change.record), change.old
    who = session.actor.on_behalf_of or session.actor
    return TicketChange(
        ticket=ticket.ref,
        at=ticket.updated_at,
        by=who.id,
        status=ticket.status,
        priority=ticket.priority,
        status_before=None if old is None else _ticket(old).status,
        priority_before=None if old is None else _ticket(old).priority,
    )
