"""Figures of sales as the actor sees them: the pipeline by stage, the win rate, performance by owner or product."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import attrs
from sqlalchemy import func, select

from crm_core import Money, Ref, Session

from .opportunities import Opportunity
from .pipeline import Status
from .products import Product


@attrs.frozen
class StageFigure:
    """The deals in one stage in one currency."""

    pipeline: str
    stage: str
    status: Status
    currency: str
    deals: int
    amount: Money


@attrs.frozen
class WinRate:
    """How many of the closed deals were won. ``percent`` has two places, rounded half-up; None where nothing is closed."""

    won: int
    lost: int

    @property
    def percent(self) -> Decimal | None:
        closed = self.won + self.lost
        return Decimal((self.won * 20_000 + closed) // (2 * closed)).scaleb(-2) if closed else None


@attrs.frozen
class Performance:
    """What was won, lost and is open for one owner or product.

    Attributes:
        key: the user's id or the product's name; None for deals without one.
        won_amounts: what was won, by currency.
    """

    key: str | None
    open: int
    rate: WinRate
    won_amounts: dict[str, Money]


def pipeline_by_stage(session: Session) -> list[StageFigure]:
    """Count and add up deals by pipeline, stage and currency."""
    keys: list[Any] = [Opportunity.pipeline, Opportunity.stage, Opportunity.status, Opportunity.amount.currency]
    statement = select(*keys, func.count(), Opportunity.amount.sum()).group_by(*keys).order_by(*keys[:2], keys[3])
    rows: Any = session.execute(statement)
    return [StageFigure(*row) for row in rows]


def win_rate(session: Session) -> WinRate:
    """Count won and lost deals."""
    statement = select(Opportunity.status, func.count()).group_by(Opportunity.status)
    rows: Any = session.execute(statement)
    counts: dict[Status, int] = {row[0]: row[1] for row in rows}
    return WinRate(counts.get(Status.WON, 0), counts.get(Status.LOST, 0))


def performance(session: Session, by: Literal["owner", "product"] = "owner") -> list[Performance]:
    """Count and add up deals by owner or by product, the best first by number of deals won."""
    key: Any = Opportunity.owner if by == "owner" else Opportunity.product
    keys: list[Any] = [key, Opportunity.status, Opportunity.amount.currency]
    rows: Any = session.execute(select(*keys, func.count(), Opportunity.amount.sum()).group_by(*keys)).all()
    names = {p.id: p.name for p in session.get_many(Product, {row[0] for row in rows if row[0]})} if by == "product" else {}
    found: dict[str | None, dict[Status, int]] = {}
    amounts: dict[str | None, dict[str, Money]] = {}
    for value, status, currency, count, amount in rows:
        name = names.get(value.id, value.id) if isinstance(value, Ref) else value
        counts = found.setdefault(name, {})
        counts[status] = counts.get(status, 0) + count
        if status is Status.WON:
            amounts.setdefault(name, {})[currency] = amount
    figures = [
        Performance(name, c.get(Status.OPEN, 0), WinRate(c.get(Status.WON, 0), c.get(Status.LOST, 0)), amounts.get(name, {}))
        for name, c in found.items()
    ]
    return sorted(figures, key=lambda f: (-f.rate.won, f.key is None, f.key or ""))
