"""Comments: what is said on a ticket, to the customer or among us [C36]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from crm_core import Change, Contact, Entity, Field, Ref, WriteCtx, after_write, check_write, field

from .plugin import plugin
from .settings import Settings
from .states import DONE, TicketStatus
from .tickets import Ticket, may_reopen


class TicketComment(Entity):
    """Something said on a ticket. ``internal`` ones are for us alone; ``inbound`` ones come from the customer, by ``contact``.

    Attributes:
        owner: who wrote it: the id of a user.
    """

    __append_only__: ClassVar[bool] = True

    ticket: Field[Ref[Ticket]] = field(on_delete="cascade", index=True)
    body: Field[str] = field(text=True, pii=True)
    internal: Field[bool] = field(default=False)
    inbound: Field[bool] = field(default=False)
    contact: Field[Ref[Contact] | None] = field(default=None, on_delete="set_null")
    owner: Field[str | None] = field(default=None)


plugin.entities(TicketComment)

# What a comment does to a ticket's status; others stay as they are.
_BY_CUSTOMER: Mapping[TicketStatus, TicketStatus] = {TicketStatus.PENDING: TicketStatus.OPEN, TicketStatus.SOLVED: TicketStatus.OPEN}
_BY_US: Mapping[TicketStatus, TicketStatus] = {TicketStatus.NEW: TicketStatus.OPEN}


def _comment(change: Change) -> TicketComment:
    assert isinstance(change.record, TicketComment)
    return change.record


@plugin.hook(check_write, on=TicketComment)
def check_comment(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse a customer's comment on a ticket that cannot be opened again, and one that is inbound and internal at once."""
    answers = [c for c in map(_comment, changes) if ctx.op == "create" and c.inbound]
    if not answers:
        return
    with ctx.elevated("tickets answered") as session:
        tickets = {t.id: t for t in session.get_many(Ticket, [c.ticket for c in answers])}
    for comment in answers:
        ticket = tickets.get(comment.ticket.id)
        if comment.internal:
            ctx.refuse(comment, "service.internal_inbound", field="internal")
        elif ticket and ticket.status in DONE and not may_reopen(ctx.session, ticket):
            ctx.refuse(comment, "service.reopen_window_passed", field="ticket", days=ctx.session.settings(Settings).reopen_days)


@plugin.hook(after_write, on=TicketComment)
def move_ticket(ctx: WriteCtx, changes: list[Change]) -> None:
    """Open the ticket that a customer answers, and the new one that we answer."""
    said = [c for c in map(_comment, changes) if ctx.op == "create" and not c.internal]
    if not said:
        return
    with ctx.elevated("ticket answered") as session:
        before = {t.id: t.status for t in session.get_many(Ticket, {c.ticket.id for c in said})}
        after = dict(before)
        for comment in said:
            now = after[comment.ticket.id]
            after[comment.ticket.id] = (_BY_CUSTOMER if comment.inbound else _BY_US).get(now, now)
        for status in dict.fromkeys(after.values()):
            moved = [id for id in after if after[id] is status is not before[id]]
            if moved:
                session.update_where(session.query(Ticket).where(Ticket.id.in_(moved)), {"status": status})
