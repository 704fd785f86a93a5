"""What was promised to win a deal, so that service can keep it [C24]."""

from __future__ import annotations

from datetime import date, datetime
from typing import cast

from crm_core import Change, Entity, Field, Ref, Session, WriteCtx, before_write, field

from .opportunities import Opportunity
from .plugin import plugin


class Commitment(Entity):
    """A promise on a deal: what, who keeps it (a user id), by which day, and whether it was kept.

    Attributes:
        fulfilled: whether it was kept.
        fulfilled_at: when it was kept.
    """

    opportunity: Field[Ref[Opportunity]] = field(on_delete="cascade")
    what: Field[str] = field(text=True, length=4000, pii=True)
    who: Field[str | None] = field(default=None)
    due: Field[date | None] = field(default=None)
    fulfilled: Field[bool] = field(default=False)
    fulfilled_at: Field[datetime | None] = field(default=None, read_only=True)
    owner: Field[str | None] = field(default=None)


plugin.entities(Commitment)


@plugin.hook(before_write, on=Commitment)
def date_fulfilment(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Keep when a promise was kept."""
    for change in changes:
        promise = cast(Commitment, change.record)
        if "fulfilled" in change.fields:
            promise.fulfilled_at = ctx.session.crm.runtime.clock.now() if promise.fulfilled else None
    return changes


def promises(session: Session, deal: Opportunity | Ref[Opportunity]) -> list[Commitment]:
    """Return what was promised on a deal, the oldest first."""
    return session.query(Commitment).where(Commitment.opportunity == Ref(Opportunity, deal.id)).order_by(Commitment.created_at).all()
