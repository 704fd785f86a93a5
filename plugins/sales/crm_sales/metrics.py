"""What sales is measured by, declared for whoever reports: the pipeline, what was won and lost, how long it took [C57]."""

from __future__ import annotations

from decimal import Decimal

from crm_core import Money, days_between, ratio
from crm_core.rules import F

from .opportunities import Opportunity
from .pipeline import Status
from .plugin import plugin

_OPEN = F("status") == Status.OPEN
_WON = F("status") == Status.WON
_LOST = F("status") == Status.LOST

plugin.dimension("owner", Opportunity, "owner", label="sales.dimension.owner")
plugin.dimension("pipeline", Opportunity, "pipeline", label="sales.dimension.pipeline")
plugin.dimension("stage", Opportunity, "stage", label="sales.dimension.stage")
plugin.dimension("status", Opportunity, "status", label="sales.dimension.status")
plugin.dimension("forecast", Opportunity, "forecast", label="sales.dimension.forecast")
plugin.dimension("source", Opportunity, "source", label="sales.dimension.source")
plugin.dimension("product", Opportunity, "product", label="sales.dimension.product")
plugin.dimension("account", Opportunity, "account", label="sales.dimension.account")
plugin.dimension("currency", Opportunity, Opportunity.amount.currency, label="sales.dimension.currency")
# What a pipeline's dashboard asks: every measure of deals, but for spans of time.
plugin.rollup("pipeline", Opportunity, by=("owner", "pipeline", "stage", "status", "forecast", "probability"), of="amount")

deals = plugin.measure(
    "deals",
    Opportunity,
    at="created_at",
    unit="deals",
    label="sales.metric.deals",
    formula="number of deals, by the instant of their creation",
)
deals_value = plugin.measure(
    "deals_value", Opportunity, of="amount", at="created_at", unit="money", label="sales.metric.deals_value", formula="sum of their amounts"
)

open_deals = plugin.measure(
    "open_deals",
    Opportunity,
    where=_OPEN,
    at="expected_close",
    unit="deals",
    label="sales.metric.open_deals",
    formula="number of open deals, by the day on which they are expected to close",
)
open_value = plugin.measure(
    "open_value",
    Opportunity,
    of="amount",
    where=_OPEN,
    at="expected_close",
    unit="money",
    label="sales.metric.open_value",
    formula="sum of the amounts of open deals",
)
weighted_value = plugin.measure(
    "weighted_value",
    Opportunity,
    of="amount",
    weight="probability",
    where=_OPEN,
    at="expected_close",
    unit="money",
    label="sales.metric.weighted_value",
    formula="sum of amount times probability of open deals, not rounded; a deal without a probability counts nothing",
)
won = plugin.measure(
    "won_deals",
    Opportunity,
    where=_WON,
    at="closed_on",
    unit="deals",
    label="sales.metric.won_deals",
    formula="number of won deals, by the day of closing",
)
won_value = plugin.measure(
    "won_value",
    Opportunity,
    of="amount",
    where=_WON,
    at="closed_on",
    unit="money",
    label="sales.metric.won_value",
    formula="sum of the amounts of won deals",
)
lost = plugin.measure(
    "lost_deals",
    Opportunity,
    where=_LOST,
    at="closed_on",
    unit="deals",
    label="sales.metric.lost_deals",
    formula="number of lost deals, by the day of closing",
    better="lower",
)
_TIMED = _WON & ~F("opened_on").is_null()
_timed = plugin.measure(
    "timed_deals",
    Opportunity,
    where=_TIMED,
    at="closed_on",
    unit="deals",
    label="sales.metric.timed_deals",
    formula="number of won deals whose day of opening is known",
)
_days = plugin.measure(
    "cycle_days",
    Opportunity,
    of=days_between(Opportunity.opened_on, Opportunity.closed_on),
    where=_TIMED,
    at="closed_on",
    unit="days",
    label="sales.metric.cycle_days",
    formula="sum of the days from opening to closing of these",
    better="lower",
)


@plugin.metric(won, lost, unit="%", label="sales.metric.win_rate")
def win_rate(won: int, lost: int) -> Decimal | None:
    """Won deals of those won or lost, in per cent with two places, rounded half-up."""
    return ratio(100 * won, won + lost)


@plugin.metric(won, won_value, unit="money", label="sales.metric.deal_size")
def deal_size(won: int, won_value: Money) -> Money | None:
    """Mean amount of a won deal, rounded half-up to the minor unit."""
    return (won_value / won).rounded() if won else None


@plugin.metric(_days, _timed, unit="days", label="sales.metric.cycle_time", better="lower")
def cycle_time(days: int, deals: int) -> Decimal | None:
    """Mean days from opening to closing of won deals, with two places, rounded half-up."""
    return ratio(days, deals)


@plugin.metric(open_deals, won_value, won, lost, _days, _timed, unit="money", label="sales.metric.velocity")
def velocity(open_deals: int, value: Money, won: int, lost: int, days: int, timed: int) -> Money | None:
    """Pipeline velocity, money a day: open deals x mean amount won x share won / mean days to close, rounded once at the end."""
    if not (won and days and timed):
        return None
    # n * (value / won) * (won / (won + lost)) / (days / timed), with what cancels out left out.
    return (value * (open_deals * timed) / ((won + lost) * days)).rounded()
