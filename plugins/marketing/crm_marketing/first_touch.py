"""What marketing does beside sales: leads in segments and campaigns, the touch of each intake, and what won deals brought [C13, C34].

A companion: it exists in a CRM that has both modules, and sees of sales what it needs and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, or_

from crm_core import Change, Ctx, Link, Plugin, Session, WriteCtx, after_write
from crm_sales.api import IntakeCtx, Lead, Opportunity, Status, TakenIn, after_intake

from .conversion import follow
from .people import CONTACT, LEAD, Task, audience, same_people
from .revenue import Won, won_revenue
from .touches import Touch, campaign_of, origin

plugin = Plugin("marketing.first_touch", version="1.0.0", requires={"sales": ">=1,<2", "marketing": ">=1,<2"}, label="First touch in sales")
plugin.grants(
    "contact:read",
    "sales.lead:read",
    "marketing.campaign:read",
    "marketing.touch:read,create",
    "marketing.segment:read,update",
    "marketing.segment_member:read,create,update",
    "marketing.campaign_member:read,update,delete",
    "marketing.consent:read,update",
)
DEAL = "sales.opportunity"


@plugin.hook(audience)
def leads(ctx: Ctx, task: Task) -> Any:
    """Open leads to segments and campaigns."""
    return task.done(ctx, Lead) if task.entity == LEAD else None


@plugin.hook(after_intake)
def keep_touches(ctx: IntakeCtx, taken: list[TakenIn]) -> None:
    """Keep where each intake came from, in its transaction; the first one is the person's first touch."""
    with ctx.elevated("touch of an intake") as session:
        now = session.crm.runtime.clock.now()
        session.create_many(
            Touch(
                lead=each.lead.id,
                at=each.lead.created_at if each.created else now,
                campaign=campaign_of(session, each.given.utm),
                channel=each.given.channel,
                **{"source": each.given.source, **origin(each.given.utm)},
            )
            for each in taken
        )


@plugin.hook(after_write, on=Lead)
def take_along(ctx: WriteCtx, changes: list[Change]) -> None:
    """Take a converted lead's places in campaigns and its consents along to its contact, in the conversion's transaction."""
    leads = [cast(Lead, c.record) for c in changes if ctx.op == "update" and "converted_contact" in c.fields]
    became = {lead.id: lead.converted_contact for lead in leads if lead.converted_contact}
    if became:
        with ctx.elevated("what is kept of a converted lead") as session:
            follow(session, became)


@plugin.hook(same_people)
def before_and_after(ctx: Ctx, people: Sequence[Link]) -> list[Link]:
    """Name the leads that contacts were before they were converted, and the contacts that leads became."""
    ids = {name: [link.record for link in people if link.entity == name] for name in (CONTACT, LEAD)}
    became = [lead.converted_contact for lead in ctx.session.get_many(Lead, ids[LEAD]) if lead.converted_contact]
    contacts = [*ids[CONTACT], *(contact.id for contact in became)]
    leads = _converted(ctx.session, Lead.converted_contact.in_(contacts)) if contacts else []
    return [*map(Link.to, became), *map(Link.to, leads)]


@plugin.hook(won_revenue)
def won_deals(ctx: Ctx, records: Sequence[Link]) -> list[Won]:
    """Say what the actor sees of won deals: these, or those that these people, and who they became, bought."""
    ids = {name: [link.record for link in records if link.entity == name] for name in (DEAL, CONTACT, LEAD)}
    became = [lead.converted_contact.id for lead in ctx.session.get_many(Lead, ids[LEAD]) if lead.converted_contact]
    wanted = or_(Opportunity.id.in_(ids[DEAL]), Opportunity.contact.in_([*ids[CONTACT], *became]))
    deals = ctx.session.query(Opportunity).where(Opportunity.status == Status.WON, wanted).order_by(Opportunity.id).all()
    origins = _converted(ctx.session, Lead.converted_opportunity.in_([d.id for d in deals])) if deals else []
    made_by = {lead.converted_opportunity: lead for lead in origins}
    return [_won(deal, made_by.get(deal.ref)) for deal in deals]


def _converted(session: Session, which: ColumnElement[bool]) -> list[Lead]:
    return session.query(Lead).where(which).order_by(Lead.created_at, Lead.id).all()


def _won(deal: Opportunity, lead: Lead | None) -> Won:
    assert deal.closed_at is not None
    people = (Link.to(deal.contact),) if deal.contact else ()
    return Won(Link.to(deal), deal.amount, deal.closed_at, people, lead.created_at if lead else None, deal.created_at)
