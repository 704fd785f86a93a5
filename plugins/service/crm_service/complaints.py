"""Complaints: a ticket that somebody must answer for, from the first word to a resolution that the customer accepts [C37].

A complaint belongs to one ticket. Two clocks run in calendar time, since that is what customers and regulators count in: until it is
acknowledged, and until it has a final answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from crm_core import (
    Account,
    Change,
    Entity,
    Event,
    Field,
    Money,
    OptionalMoneyField,
    Ref,
    Session,
    WriteCtx,
    after_write,
    before_write,
    check_write,
    field,
)

from .plugin import plugin
from .settings import Settings
from .states import TicketType
from .tickets import Ticket, now


class Severity(Enum):
    """How bad it is."""

    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


class ComplaintStatus(Enum):
    """How far a complaint is. A resolution that is rejected goes back to being looked into."""

    RECEIVED = "received"
    ACKNOWLEDGED = "acknowledged"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    CLOSED = "closed"


_NEXT: Mapping[ComplaintStatus, tuple[ComplaintStatus, ...]] = {
    ComplaintStatus.RECEIVED: (ComplaintStatus.ACKNOWLEDGED,),
    ComplaintStatus.ACKNOWLEDGED: (ComplaintStatus.OFFERED,),
    ComplaintStatus.OFFERED: (ComplaintStatus.ACKNOWLEDGED, ComplaintStatus.ACCEPTED, ComplaintStatus.CLOSED),
    ComplaintStatus.ACCEPTED: (),
    ComplaintStatus.CLOSED: (),
}
_ENDED = frozenset({ComplaintStatus.ACCEPTED, ComplaintStatus.CLOSED})


class Complaint(Entity):
    """What a customer complains of, and what we do about it.

    Attributes:
        account, acknowledge_by, answer_by, acknowledged_at, ended_at: kept by the module.
        status: accepted means that the customer agrees; closed, that the final answer stands without it.
        root_cause: what was wrong with us; needed before a resolution is offered.
        resolution: what we offer the customer; needed before it is offered.
        compensation: what we pay, where we do.
        ticket: the ticket it belongs to.
        severity: how bad it is.
    """

    ticket: Field[Ref[Ticket]] = field(on_delete="cascade", unique=True)
    account: Field[Ref[Account] | None] = field(default=None, read_only=True)
    severity: Field[Severity]
    owner: Field[str | None] = field(default=None)
    status: Field[ComplaintStatus] = field(default=ComplaintStatus.RECEIVED, index=True)
    root_cause: Field[str] = field(default="", text=True, pii=True)
    resolution: Field[str] = field(default="", text=True, pii=True)
    compensation: OptionalMoneyField = field(default=None, min=0)
    acknowledge_by: Field[datetime | None] = field(default=None, read_only=True)
    answer_by: Field[datetime | None] = field(default=None, read_only=True)
    acknowledged_at: Field[datetime | None] = field(default=None, read_only=True)
    ended_at: Field[datetime | None] = field(default=None, read_only=True)


class ComplaintReceived(Event[Complaint], name="service.complaint_received", version=1):
    """A customer complains. ``sales_owner`` is the user who owns the account, to whom it should be no news from somebody else."""

    account: Ref[Account] | None
    sales_owner: str | None
    severity: str


class ComplaintEnded(Event[Complaint], name="service.complaint_ended", version=1):
    """The customer accepted the resolution, or the final answer stands without that."""

    account: Ref[Account] | None
    sales_owner: str | None
    accepted: bool
    compensation: Money | None


plugin.entities(Complaint)
plugin.events(ComplaintReceived, ComplaintEnded)


def _complaint(record: Entity | None) -> Complaint:
    assert isinstance(record, Complaint)
    return record


@plugin.hook(before_write, on=Complaint)
def set_deadlines(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Set a new complaint's account and deadlines, and note when steps are taken."""
    if ctx.op == "create":
        _begin(ctx, [_complaint(c.record) for c in changes])
    elif ctx.op == "update":
        for complaint in (_complaint(c.record) for c in changes if "status" in c.fields):
            if complaint.status is ComplaintStatus.ACKNOWLEDGED and complaint.acknowledged_at is None:
                complaint.acknowledged_at = now(ctx.session)
            if complaint.status in _ENDED:
                complaint.ended_at = now(ctx.session)
    return changes


def _begin(ctx: WriteCtx, complaints: list[Complaint]) -> None:
    settings, at = ctx.session.settings(Settings), now(ctx.session)
    with ctx.elevated("tickets complained of") as session:
        tickets = {t.id: t for t in session.get_many(Ticket, [c.ticket for c in complaints])}
    for complaint in complaints:
        ticket = tickets.get(complaint.ticket.id)
        complaint.account = ticket.account if ticket else None
        complaint.acknowledge_by = at + timedelta(hours=settings.complaint_acknowledge_hours)
        complaint.answer_by = at + timedelta(days=settings.complaint_answer_days)


@plugin.hook(check_write, on=Complaint)
def check_complaint(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse steps that do not follow each other, offers without cause and resolution, and changes of what has ended."""
    for change in changes:
        after = _complaint(change.record)
        before = _complaint(change.old).status if change.old else ComplaintStatus.RECEIVED
        if ctx.op == "update" and before in _ENDED:
            ctx.refuse(after, "service.complaint_ended", status=before.value)
        elif ctx.op == "update" and "ticket" in change.fields:
            ctx.refuse(after, "service.complaint_ticket", field="ticket")
        elif after.status is not before and (change.old is None or after.status not in _NEXT[before]):
            allowed = [s.value for s in _NEXT[before]]
            ctx.refuse(after, "service.bad_complaint_step", field="status", before=before.value, after=after.status.value, allowed=allowed)
        elif after.status is ComplaintStatus.OFFERED and not (after.root_cause and after.resolution):
            ctx.refuse(after, "service.resolution_missing", field="resolution" if after.root_cause else "root_cause")


@plugin.hook(after_write, on=Complaint)
def tell_of_complaint(ctx: WriteCtx, changes: list[Change]) -> None:
    """Mark the ticket as a complaint, and tell who owns the account of beginning and end."""
    with ctx.elevated("complaints") as session:
        if ctx.op == "create":
            tickets = {_complaint(c.record).ticket.id for c in changes}
            session.update_where(session.query(Ticket).where(Ticket.id.in_(sorted(tickets))), {"type": TicketType.COMPLAINT})
        owners = _owners(session, [_complaint(c.record) for c in changes])
    events: list[Event[Complaint]] = []
    for change in changes:
        complaint = _complaint(change.record)
        known: dict[str, Any] = {"record": complaint.ref, "account": complaint.account}
        known["sales_owner"] = owners.get(complaint.account.id) if complaint.account else None
        if ctx.op == "create":
            events.append(ComplaintReceived(**known, severity=complaint.severity.value))
        elif ctx.op == "update" and "status" in change.fields and complaint.status in _ENDED:
            accepted = complaint.status is ComplaintStatus.ACCEPTED
            events.append(ComplaintEnded(**known, accepted=accepted, compensation=complaint.compensation))
    ctx.session.emit(*events)


def _owners(session: Session, complaints: list[Complaint]) -> dict[str, str | None]:
    return {a.id: a.owner for a in session.get_many(Account, {c.account.id for c in complaints if c.account})}


def overdue(session: Session) -> list[Complaint]:
    """Return the complaints that should have been acknowledged, or answered for good, by now; the longest overdue first."""
    at = now(session)
    living = session.query(Complaint).where(Complaint.ended_at.is_(None))
    late = (Complaint.answer_by < at) | ((Complaint.status == ComplaintStatus.RECEIVED) & (Complaint.acknowledge_by < at))
    return living.where(late).order_by(Complaint.acknowledge_by, Complaint.id).all()
