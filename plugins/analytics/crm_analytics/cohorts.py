"""Cohorts: of the customers who bought first in a period, how many bought again in each period after it [C58]."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import attrs
from sqlalchemy import func, select

from crm_core import Session, ratio
from crm_core.rules import everything

from .parts import Asked
from .periods import Calendar, Grain, Period
from .reading import Selection
from .rfm import purchase_facts
from .settings import Settings


@attrs.frozen
class Cohort:
    """The customers of one period.

    Attributes:
        period: of their first purchase.
        active: how many bought in that period, in the next, and so on to the last period there are purchases in.
    """

    period: Period
    active: Sequence[int]

    @property
    def size(self) -> int:
        """How many customers it has."""
        return self.active[0]

    def retention(self, after: int) -> Decimal:
        """Return the share of its customers who bought in the *after*-th period after their first, in per cent with two places."""
        return ratio(100 * self.active[after], self.size) or Decimal(0)


def cohorts(session: Session, grain: Grain = Grain.MONTH, *, since: date | None = None, until: date | None = None) -> list[Cohort]:
    """Return the retention matrix of the purchases that the actor sees, in the tenant's zone and fiscal calendar.

    Args:
        since, until: days of purchase, both inclusive; a customer's first is the first of these.

    Raises:
        Invalid: ``analytics.no_purchases``, ``analytics.too_many_periods``, ``analytics.bad_question``.
    """
    settings = session.settings(Settings)
    measure, customer = purchase_facts(session)
    calendar = Calendar(settings.zone, settings.fiscal_start)
    asked = Asked(
        by=[customer], where=everything, grain=grain, since=since, until=until, calendar=calendar, currency=None, rates="frozen", money={}
    )
    selection = Selection(session, [measure], asked)
    periods = selection.periods()
    if not periods:
        return []
    key, number = selection.column(customer), selection.bucket(periods)
    first = func.min(number).over(partition_by=key).label("first")
    known = (*selection.criteria, key.is_not(None), selection.at.is_not(None))
    active = select(first, number.label("number")).where(*known).group_by(key, number).subquery()
    cells: Any = session.execute(select(*active.c, func.count()).group_by(*active.c))
    counts = {(begin, at): count for begin, at, count in cells}
    last = max((at for _, at in counts), default=0)
    begins = sorted({begin for begin, _ in counts})
    return [Cohort(periods[b], [counts.get((b, at), 0) for at in range(b, last + 1)]) for b in begins]
