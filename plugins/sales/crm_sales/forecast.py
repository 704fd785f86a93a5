"""The forecast: weighted and by category, per month, owner and currency; lost deals are not in it [C21]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import attrs
from sqlalchemy import func, select

from crm_core import Money, Session

from .opportunities import Opportunity
from .pipeline import Forecast, Status

ROLLED_UP: Mapping[Forecast, tuple[Forecast, ...]] = {
    Forecast.CLOSED: (Forecast.CLOSED,),
    Forecast.COMMIT: (Forecast.CLOSED, Forecast.COMMIT),
    Forecast.BEST: (Forecast.CLOSED, Forecast.COMMIT, Forecast.BEST),
    Forecast.PIPELINE: (Forecast.CLOSED, Forecast.COMMIT, Forecast.BEST, Forecast.PIPELINE),
}
"""What each category holds when it is rolled up: what is surer than itself, too."""


@attrs.frozen
class ForecastLine:
    """What one owner's deals of one month are worth.

    Attributes:
        month: ``2026-05``: of closing, in the tenant's zone, for won deals; of the expected close for open ones; None without one.
        owner: the user's id; None for nobody's deals.
        currency: of both amounts; the base currency where the forecast was asked in one.
        deals: how many.
        amount: their sum.
        weighted: the sum of amount times probability (won: 100 %), rounded half-up to the minor unit once.
        categories: the amount by forecast category, not rolled up.
    """

    month: str | None
    owner: str | None
    currency: str
    deals: int
    amount: Money
    weighted: Money
    categories: Mapping[Forecast, Money]

    def rolled_up(self, category: Forecast) -> Money:
        """Return the amount of a category with the surer ones in it."""
        return Money.sum((self.categories[c] for c in ROLLED_UP[category] if c in self.categories), self.currency)


@attrs.frozen
class _Part:
    """Deals that are alike in all that matters, as the database adds them up."""

    day: date | None
    owner: str | None
    currency: str
    forecast: Forecast | None
    percent: int
    amount: Decimal
    deals: int


def forecast(session: Session, *, base: str | None = None, since: date | None = None, until: date | None = None) -> list[ForecastLine]:
    """Forecast from the deals that the actor sees.

    Args:
        base: convert to this currency: closed deals at the rate frozen with them, open ones at today's [G11, G12].
        since, until: days of closing, both inclusive; deals without a day are then left out.

    Raises:
        Invalid: ``missing_rate``: *base* is given, and a currency has no rate.
    """
    return _lines(_parts(session, base, since, until))


def _parts(session: Session, base: str | None, since: date | None, until: date | None) -> Iterable[_Part]:
    day: Any = func.coalesce(Opportunity.closed_on, Opportunity.expected_close)
    keys: list[Any] = [day, Opportunity.owner, Opportunity.forecast, Opportunity.probability, Opportunity.status]
    if base is None:
        keys.append(Opportunity.amount.currency)
        amount = Opportunity.amount.total()
    else:
        amount = func.sum(Opportunity.amount.to(base))
    statement = select(*keys, amount, func.count()).where(Opportunity.status != Status.LOST).group_by(*keys)
    if since is not None:
        statement = statement.where(day >= since)
    if until is not None:
        statement = statement.where(day <= until)
    rows: Any = session.execute(statement)
    for on, owner, category, probability, status, *rest in rows:
        percent = 100 if status is Status.WON else probability or 0
        currency, total, count = rest if base is None else (base, *rest)
        yield _Part(on, owner, currency, category, percent, total, count)


def _lines(parts: Iterable[_Part]) -> list[ForecastLine]:
    grouped: dict[tuple[str | None, str | None, str], list[_Part]] = {}
    for part in parts:
        month = part.day.strftime("%Y-%m") if part.day else None
        grouped.setdefault((month, part.owner, part.currency), []).append(part)
    keys = sorted(grouped, key=lambda k: (k[0] is None, k[0] or "", k[1] is None, k[1] or "", k[2]))
    return [_line(*key, grouped[key]) for key in keys]


def _line(month: str | None, owner: str | None, currency: str, parts: Sequence[_Part]) -> ForecastLine:
    categories: dict[Forecast, Money] = {}
    for part in parts:
        if part.forecast is not None:
            categories[part.forecast] = categories.get(part.forecast, Money.zero(currency)) + Money(part.amount, currency)
    return ForecastLine(
        month=month,
        owner=owner,
        currency=currency,
        deals=sum(part.deals for part in parts),
        amount=Money.sum((Money(part.amount, currency) for part in parts), currency),
        weighted=weighted(((Money(part.amount, currency), part.percent) for part in parts), currency),
        categories=categories,
    )


def weighted(parts: Iterable[tuple[Money, int]], currency: str) -> Money:
    """Return the sum of amount times percent, rounded half-up to the minor unit once, at the end."""
    return Money.sum((amount * percent / 100 for amount, percent in parts), currency).rounded()
