"""Figures of sales as the actor sees them: the pipeline by stage, the win rate, performance by owner or product."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import attrs
from sqlalchemy import case, func, select

from crm_core import Money, Ref, Session, ratio

from .opportunities import Opportunity, StageHistory
from .pipeline import Stages, Status
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
        return ratio(100 * self.won, self.won + self.lost)


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


@attrs.frozen
class FunnelStep:
    """How many deals came as far as a stage, or further.

    Attributes:
        percent: of the deals that came as far as the first stage, in whole per cent, rounded half-up; None where there are none.
    """

    stage: str
    label: str
    deals: int
    percent: int | None


def pipeline_by_stage(session: Session) -> list[StageFigure]:
    """Count and add up deals by pipeline, stage and currency."""
    keys: list[Any] = [Opportunity.pipeline, Opportunity.stage, Opportunity.status, Opportunity.amount.currency]
    statement = select(*keys, func.count(), Opportunity.amount.sum()).group_by(*keys).order_by(*keys[:2], keys[3])
    rows: Any = session.execute(statement)
    return [StageFigure(*row) for row in rows]


def funnel(session: Session, pipeline: str = "") -> list[FunnelStep]:
    """Count the deals that ever came as far as each open stage of a pipeline (the main one), and as far as its won stage.

    A deal that skipped a stage counts as having passed it; one that was lost counts up to where it was lost.
    """
    stages = Stages(session, made=False)
    key = pipeline or stages.main
    passed = [s for s in stages.of(key) if s.status is not Status.LOST]
    if not passed:
        return []
    depth: Any = case({s.key: n for n, s in enumerate(passed)}, value=StageHistory.to_stage, else_=-1)
    history = select(StageHistory.opportunity, func.max(depth).label("depth")).join(Opportunity, Opportunity.id == StageHistory.opportunity)
    deepest = history.where(Opportunity.pipeline == key).group_by(StageHistory.opportunity).subquery()
    rows: Any = session.execute(select(deepest.c.depth, func.count()).group_by(deepest.c.depth))
    counts: dict[int, int] = {row[0]: row[1] for row in rows}
    reached = [sum(n for d, n in counts.items() if d >= depth) for depth in range(len(passed))]
    first = reached[0]
    return [
        FunnelStep(s.key, s.label, n, (200 * n + first) // (2 * first) if first else None) for s, n in zip(passed, reached, strict=True)
    ]


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
