"""Milestones: steps of a ticket that a policy names and has targets for, such as ``diagnosed`` [C40]."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from crm_core import Change, Entity, Field, Ref, Session, WriteCtx, before_write, check_write, field

from .plugin import plugin
from .policies import SlaPolicy
from .tickets import Ticket, now


class TicketMilestone(Entity):
    """A milestone that a ticket has reached, and when; each is reached once. ``at`` and ``key`` are kept by the module.

    Attributes:
        name: which milestone of the policy.
    """

    __append_only__: ClassVar[bool] = True

    ticket: Field[Ref[Ticket]] = field(on_delete="cascade", index=True)
    name: Field[str] = field(length=40, classified="internal")
    at: Field[datetime | None] = field(default=None, read_only=True)
    key: Field[str | None] = field(default=None, length=100, unique=True, read_only=True)


plugin.entities(TicketMilestone)


def _reached(change: Change) -> TicketMilestone:
    assert isinstance(change.record, TicketMilestone)
    return change.record


@plugin.hook(before_write, on=TicketMilestone)
def date_milestone(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Note when a milestone is reached."""
    for reached in map(_reached, changes):
        reached.at = reached.at or now(ctx.session)
        reached.key = f"{reached.ticket.id}:{reached.name}"
    return changes


@plugin.hook(check_write, on=TicketMilestone)
def check_milestone(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse milestones that the ticket's policy does not name."""
    if ctx.op != "create":
        return
    with ctx.elevated("milestones of policies") as session:
        tickets = {t.id: t for t in session.get_many(Ticket, [_reached(c).ticket for c in changes])}
        policies = {p.id: p for p in session.get_many(SlaPolicy, {t.sla.id for t in tickets.values() if t.sla})}
    for reached in map(_reached, changes):
        ticket = tickets.get(reached.ticket.id)
        policy = policies.get(ticket.sla.id) if ticket and ticket.sla else None
        known = policy.milestones if policy else []
        if reached.name not in known:
            ctx.refuse(reached, "service.unknown_milestone", field="name", given=reached.name, known=known)


def reach(session: Session, ticket: Ref[Ticket], name: str) -> TicketMilestone:
    """Note that a ticket has reached a milestone; a second call returns the first one's."""
    with session.savepoint():
        session.lock(Ticket, ticket)
        known = session.query(TicketMilestone).where(TicketMilestone.ticket == ticket, TicketMilestone.name == name).first()
        return known or session.create(TicketMilestone(ticket=ticket, name=name))
