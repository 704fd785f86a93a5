"""What marketing is measured by, declared for whoever reports: what campaigns cost, and what they brought by a named model [C25, C57].

Both are facts of the campaign itself, without those below it, so that parts add up to the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from crm_core import Fact, Money, Session, ratio

from . import revenue
from .campaigns import Campaign, CampaignCost
from .members import batches
from .plugin import plugin
from .settings import Settings

_BY = {"campaign": "marketing.dimension.campaign", "channel": "marketing.dimension.channel"}


@plugin.source(label="marketing.metric.campaign_cost", unit="money", dimensions=_BY, better="lower", at="CampaignCost.day")
def campaign_cost(session: Session, since: date | None, until: date | None) -> Iterator[Fact]:
    """Sum of the actual costs of campaigns, by their day."""
    query = session.query(CampaignCost)
    query = query if since is None else query.where(CampaignCost.day >= since)
    query = query if until is None else query.where(CampaignCost.day <= until)
    for batch in batches(query.stream()):
        known = {c.id: c for c in session.get_many(Campaign, {cost.campaign.id for cost in batch})}
        for cost in batch:
            campaign = known.get(cost.campaign.id)
            yield Fact(cost.day, cost.amount, {"campaign": cost.campaign, "channel": campaign.channel if campaign else None})


@plugin.source(label="marketing.metric.attributed_revenue", unit="money", dimensions=_BY, at="Opportunity.closed_at")
def attributed_revenue(session: Session, since: date | None, until: date | None) -> Iterator[Fact]:
    """Won money credited to the touches of campaigns by the model that the setting `model` names, by the instant it was won."""
    campaigns = {c.id: c for c in session.query(Campaign).stream()}
    model = session.settings(Settings).model
    for won in revenue.won_through(session, None):
        for credit in revenue.share(session, won, model).credits:
            campaign = campaigns.get(credit.campaign.id) if credit.campaign else None
            if campaign is not None:
                yield Fact(won.at, credit.amount, {"campaign": campaign.ref, "channel": campaign.channel})


@plugin.metric(attributed_revenue, campaign_cost, label="marketing.metric.campaign_roi", unit="%")
def campaign_roi(brought: Money, cost: Money) -> Decimal | None:
    """(attributed revenue - cost) / cost, in per cent with two places, rounded half-up; nothing where nothing was spent."""
    return ratio(((brought - cost) * 100).amount, cost.amount)
