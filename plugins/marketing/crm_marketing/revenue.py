"""What campaigns brought: won money shared among the touches before it, by a named model [C25, C34]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import attrs

from crm_core import CollectHook, Ctx, Link, Money, NotFound, Ref, Session, ratio

from .attribution import AttributionModel, credits
from .campaigns import Campaign, subtree
from .figures import cost_of
from .members import batches
from .people import CONTACT, LEAD, Given, as_link, seen
from .plugin import plugin
from .settings import Settings
from .touches import Touch, touches_of


@attrs.frozen
class Won:
    """Money that was won.

    Attributes:
        record: what it was won with, such as a deal.
        at: when; later touches have no part in it.
        people: who bought.
        lead_at, deal_at: when the lead and the deal were made, for the model W.
    """

    record: Link
    amount: Money
    at: datetime
    people: tuple[Link, ...]
    lead_at: datetime | None = None
    deal_at: datetime | None = None


@attrs.frozen
class Credit:
    """What a touch earned."""

    touch: Ref[Touch]
    campaign: Ref[Campaign] | None
    at: datetime
    amount: Money


@attrs.frozen
class Attribution:
    """How won money was shared. The credits sum to the amount; without any touch there are none."""

    won: Won
    model: AttributionModel
    credits: tuple[Credit, ...]


@attrs.frozen
class Roi:
    """What a campaign brought and cost.

    Attributes:
        revenue: the credits of its touches and of those of the campaigns below it, by ``model``.
        deals: how many brought some of it.
        ratio: (revenue - cost) / cost with four places, half-up; None where nothing was spent.
    """

    campaign: Ref[Campaign]
    model: AttributionModel
    revenue: Money
    cost: Money
    deals: int

    @property
    def ratio(self) -> Decimal | None:
        return ratio((self.revenue - self.cost).amount, self.cost.amount, places=4)


won_revenue: CollectHook[Ctx, Sequence[Link], list[Won]] = CollectHook("marketing.won_revenue")
"""Say what the actor sees as won through these records: all that these people (``contact``, ``sales.lead``) bought, or these deals."""

plugin.hooks(won_revenue)


def attribute(session: Session, deal: Given, model: AttributionModel) -> Attribution:
    """Share what a deal brought among the touches of its buyers before it was won.

    Raises:
        NotFound: nothing was won with it, as far as the actor sees.
    """
    found = _won(session, [as_link(deal)])
    if not found:
        raise NotFound(entity=as_link(deal).entity)
    return share(session, found[0], model)


def share(session: Session, won: Won, model: AttributionModel) -> Attribution:
    """Share won money among the touches before it."""
    touches = touches_of(session, won.people, won.at)
    parts = credits(
        won.amount.rounded(),
        [t.at for t in touches],
        model,
        half_life=timedelta(days=session.settings(Settings).half_life_days),
        lead=_milestone(touches, won.lead_at),
        deal=_milestone(touches, won.deal_at),
    )
    return Attribution(won, model, tuple(Credit(t.ref, t.campaign, t.at, part) for t, part in zip(touches, parts, strict=True)))


def roi(session: Session, campaign: Ref[Campaign], model: AttributionModel) -> Roi:
    """Say what a campaign, with those below it, brought and cost, in its currency; deals in another currency are left out."""
    currency, ids = session.get(Campaign, campaign).currency, subtree(session, campaign)
    revenue, deals = Money.zero(currency), 0
    for won in won_through(session, ids):
        if won.amount.currency == currency:
            earned = [c.amount for c in share(session, won, model).credits if c.campaign is not None and c.campaign.id in ids]
            revenue, deals = revenue + Money.sum(earned, currency), deals + any(earned)
    return Roi(campaign, model, revenue, cost_of(session, ids, currency), deals)


def won_through(session: Session, campaigns: list[str] | None) -> Iterator[Won]:
    """Yield, each once, what people bought whom some campaigns touched; any campaign where none are given."""
    known: set[Link] = set()
    for people in batches(_people(session, campaigns)):
        for won in _won(session, people):
            if won.record not in known:
                known.add(won.record)
                yield won


def _won(session: Session, records: Sequence[Link]) -> list[Won]:
    return [won for answer in won_revenue(Ctx(session=session), records) for won in answer]


def _people(session: Session, campaigns: list[str] | None) -> Iterator[Link]:
    """Yield whoever was touched by the campaigns, some of them more than once."""
    which = Touch.campaign.is_not(None) if campaigns is None else Touch.campaign.in_(campaigns)
    touched = session.query(Touch).where(which, seen(session, Touch))
    for touch in touched.stream():
        yield Link(CONTACT, touch.contact.id) if touch.contact else Link(LEAD, touch.lead or "")


def _milestone(touches: Sequence[Touch], at: datetime | None) -> int | None:
    """Return which touch made something: the last one until then, or the first where none was before."""
    if at is None or not touches:
        return None
    return max((n for n, touch in enumerate(touches) if touch.at <= at), default=0)
