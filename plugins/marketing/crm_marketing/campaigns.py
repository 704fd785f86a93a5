"""Campaigns: a tree of what we do to be heard, with its budget, its actual cost and what it shall bring [C25]."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import Enum
from typing import cast

from crm_core import (
    Change,
    Channel,
    Entity,
    Field,
    Money,
    MoneyField,
    OptionalMoneyField,
    Ref,
    Session,
    WriteCtx,
    before_write,
    check_write,
    field,
)

from .plugin import plugin
from .settings import Settings


class CampaignKind(Enum):
    """What a campaign is."""

    MAILING = "mailing"
    ADVERTISING = "advertising"
    EVENT = "event"
    WEBINAR = "webinar"
    CONTENT = "content"
    CALLS = "calls"
    REFERRAL = "referral"
    OTHER = "other"


class CampaignStatus(Enum):
    """How far a campaign is."""

    PLANNED = "planned"
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Campaign(Entity):
    """Something we do to be heard. ``code`` is what links carry as ``utm_campaign``.

    All money of a campaign and of those below it is in one ``currency``: the parent's, else the budget's, else that of the settings.

    Attributes:
        starts_on: its first day.
        ends_on: its last day.
        budget: what it may cost.
        expected_revenue: what it is hoped to bring in.
        parent: the campaign it is a part of.
    """

    name: Field[str] = field(classified="internal")
    code: Field[str | None] = field(default=None, length=100, unique=True)
    parent: Field[Ref[Campaign] | None] = field(default=None, tree=True, index=True)
    kind: Field[CampaignKind] = field(default=CampaignKind.MAILING)
    channel: Field[Channel] = field(default=Channel.EMAIL)
    status: Field[CampaignStatus] = field(default=CampaignStatus.PLANNED)
    starts_on: Field[date | None] = field(default=None)
    ends_on: Field[date | None] = field(default=None)
    currency: Field[str] = field(default="", length=3)
    budget: OptionalMoneyField = field(default=None)
    expected_revenue: OptionalMoneyField = field(default=None)
    owner: Field[str | None] = field(default=None)


class CampaignCost(Entity):
    """What a campaign did cost: how much, when, what for. A credit note is negative.

    Attributes:
        day: when it fell due.
        amount: how much.
        what: what it was for.
    """

    campaign: Field[Ref[Campaign]] = field(on_delete="cascade", index=True)
    day: Field[date]
    amount: MoneyField
    what: Field[str] = field(default="")
    external_ref: Field[str | None] = field(default=None, unique=True)


plugin.entities(Campaign, CampaignCost)


@plugin.hook(before_write, on=Campaign)
def choose_currency(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Give campaigns without a currency the one that their parent or their money has."""
    campaigns = [cast(Campaign, c.record) for c in changes if ctx.op in ("create", "update")]
    waiting = [c for c in campaigns if not c.currency]
    parents = _parents(ctx.session, waiting)
    for campaign in waiting:
        parent = parents.get(campaign.parent.id) if campaign.parent else None
        money = campaign.budget or campaign.expected_revenue
        campaign.currency = parent or (money.currency if money else ctx.session.settings(Settings).currency)
    return changes


@plugin.hook(check_write, on=Campaign)
def check_campaigns(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse a period that ends before it begins, and money in another currency than the campaign's or its parent's."""
    campaigns = [cast(Campaign, c.record) for c in changes if ctx.op in ("create", "update")]
    parents = _parents(ctx.session, campaigns)
    for campaign in campaigns:
        if campaign.starts_on and campaign.ends_on and campaign.ends_on < campaign.starts_on:
            ctx.refuse(campaign, "marketing.bad_period", field="ends_on")
        for name in ("budget", "expected_revenue"):
            money: Money | None = getattr(campaign, name)
            if money is not None and money.currency != campaign.currency:
                ctx.refuse(campaign, "marketing.other_currency", field=name, currency=campaign.currency, given=money.currency)
        above = parents.get(campaign.parent.id, campaign.currency) if campaign.parent else campaign.currency
        if above != campaign.currency:
            ctx.refuse(campaign, "marketing.other_currency", field="parent", currency=above, given=campaign.currency)
    _refuse_moved_money(ctx, changes)


def _refuse_moved_money(ctx: WriteCtx, changes: Sequence[Change]) -> None:
    """A campaign with costs or campaigns below it keeps its currency."""
    moved = {c.record.id: c for c in changes if c.old is not None and "currency" in c.fields}
    if not moved:
        return
    with ctx.elevated("money of a campaign") as session:
        costs = session.query(CampaignCost).where(CampaignCost.campaign.in_(list(moved))).all()
        below = session.query(Campaign).where(Campaign.parent.in_(list(moved))).all()
    held = {c.campaign.id for c in costs} | {c.parent.id for c in below if c.parent}
    for id_ in held & moved.keys():
        ctx.refuse(moved[id_], "marketing.currency_fixed", field="currency")


@plugin.hook(check_write, on=CampaignCost)
def check_costs(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse costs in another currency than their campaign's."""
    costs = [cast(CampaignCost, c.record) for c in changes if ctx.op in ("create", "update")]
    known = {c.id: c.currency for c in ctx.session.get_many(Campaign, {c.campaign.id for c in costs})}
    for cost in costs:
        currency = known.get(cost.campaign.id, cost.amount.currency)
        if cost.amount.currency != currency:
            ctx.refuse(cost, "marketing.other_currency", field="amount", currency=currency, given=cost.amount.currency)


def _parents(session: Session, campaigns: Sequence[Campaign]) -> dict[str, str]:
    """Return the currencies of the parents, by id."""
    wanted = {c.parent.id for c in campaigns if c.parent}
    return {p.id: p.currency for p in session.get_many(Campaign, wanted)} if wanted else {}


def subtree(session: Session, campaign: Ref[Campaign]) -> list[str]:
    """Return the ids of a campaign and of all below it that the actor sees."""
    found = [session.get(Campaign, campaign).id]
    level = found
    while level:
        level = session.query(Campaign).where(Campaign.parent.in_(level)).ids()
        found = [*found, *level]
    return found
