"""Numbers of a campaign: its members by status, what it cost, and what a lead, a response and an order cost [C25]."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs
from sqlalchemy import func, select

from crm_core import Channel, Money, Ref, Session, ratio

from .campaigns import Campaign, CampaignCost, subtree
from .members import CampaignMember, MemberStatus
from .people import seen
from .touches import Touch


@attrs.frozen
class Figures:
    """A campaign with all below it, as far as the actor sees its people.

    Attributes:
        members: how many stand at each status; every status is there.
        leads: people whose first touch was of the campaign.
        budget, expected_revenue, cost: sums in the campaign's currency.
    """

    campaign: Ref[Campaign]
    members: dict[MemberStatus, int]
    leads: int
    budget: Money
    expected_revenue: Money
    cost: Money

    @property
    def total(self) -> int:
        """How many members there are."""
        return sum(self.members.values())

    def reached(self, status: MemberStatus) -> int:
        """Count the members who came to a step or further."""
        return sum(n for s, n in self.members.items() if s.step >= status.step)

    def percent(self, status: MemberStatus) -> Decimal | None:
        """Return who came to a step or further, in per cent of all members with two places, half-up; None without members."""
        return ratio(100 * self.reached(status), self.total)

    @property
    def cost_per_lead(self) -> Money | None:
        """Cost for each lead, rounded half-up to the minor unit; None without leads."""
        return _each(self.cost, self.leads)

    @property
    def cost_per_response(self) -> Money | None:
        """Cost for each member who responded."""
        return _each(self.cost, self.reached(MemberStatus.RESPONDED))

    @property
    def cost_per_order(self) -> Money | None:
        """Cost for each member who converted."""
        return _each(self.cost, self.reached(MemberStatus.CONVERTED))

    @property
    def left(self) -> Money:
        """What is left of the budget; negative where more was spent."""
        return self.budget - self.cost


def figures(session: Session, campaign: Ref[Campaign]) -> Figures:
    """Count and add up a campaign with all below it."""
    return _of(session, campaign, subtree(session, campaign), session.get(Campaign, campaign).currency)


def channel_mix(session: Session, campaign: Ref[Campaign]) -> dict[Channel, Figures]:
    """Count and add up a campaign with all below it by their channels; the parts sum to the whole."""
    currency, ids = session.get(Campaign, campaign).currency, subtree(session, campaign)
    by_channel: dict[Channel, list[str]] = {}
    for each in session.get_many(Campaign, ids):
        by_channel.setdefault(each.channel, []).append(each.id)
    return {channel: _of(session, campaign, by_channel[channel], currency) for channel in Channel if channel in by_channel}


def _of(session: Session, campaign: Ref[Campaign], ids: list[str], currency: str) -> Figures:
    counting = select(CampaignMember.status, func.count()).where(CampaignMember.campaign.in_(ids), seen(session, CampaignMember))
    rows: Any = session.execute(counting.group_by(CampaignMember.status))
    counted: dict[MemberStatus, int] = {row[0]: row[1] for row in rows}
    leads = session.query(Touch).where(Touch.campaign.in_(ids), Touch.first_of.is_not(None), seen(session, Touch)).count()
    return Figures(
        campaign=campaign,
        members={status: counted.get(status, 0) for status in MemberStatus},
        leads=leads,
        budget=_sum(session, Campaign.budget, Campaign.id.in_(ids), currency),
        expected_revenue=_sum(session, Campaign.expected_revenue, Campaign.id.in_(ids), currency),
        cost=cost_of(session, ids, currency),
    )


def cost_of(session: Session, campaigns: list[str], currency: str) -> Money:
    """Add up the actual costs of campaigns."""
    return _sum(session, CampaignCost.amount, CampaignCost.campaign.in_(campaigns), currency)


def _sum(session: Session, money: Any, which: Any, currency: str) -> Money:
    total: Any = session.execute(select(money.sum()).where(which, money.currency == currency)).scalar_one()
    return Money.zero(currency) if total is None else total


def _each(cost: Money, count: int) -> Money | None:
    return (cost / count).rounded() if count else None
