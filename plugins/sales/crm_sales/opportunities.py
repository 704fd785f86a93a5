"""Deals from first contact to close: stages with their history, won or lost with a reason, reopened without losing the past [C14]."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, cast
from zoneinfo import ZoneInfo

from crm_core import (
    Account,
    Change,
    Contact,
    Denied,
    Entity,
    Event,
    Field,
    Money,
    MoneyField,
    OptionalMoneyField,
    Ref,
    Refused,
    Session,
    WriteCtx,
    after_write,
    before_write,
    check_write,
    field,
)

from .pipeline import Forecast, Pipeline, Stages, Status, first_pipeline
from .plugin import plugin
from .products import Product
from .rates import Rates, convert
from .settings import Settings


class Opportunity(Entity):
    """A deal.

    ``pipeline`` (the main one where it is empty) and ``stage`` are keys. Whoever changes the stage, by whichever way, sets off the rest:
    status, probability (percent), forecast, day of closing, history and events. ``account`` may be unknown for a while. ``amount_base``
    is the amount in the tenant's base currency, frozen at the rate of the day the deal was closed; later rates do not move it [C78].

    Attributes:
        product: what it is mainly about.
        expected_close: the day it is hoped to be decided.
        opened_on: the day it was opened.
        won_reason: why it was won.
        lost_reason: why it was lost.
        closed_at: when it was decided.
        closed_on: the day it was decided, in the tenant's zone.
        base_rate: the exchange rate to the base currency, frozen when it was decided.
        base_day: the day of that rate.
        forecast: how it counts in the forecast.
        probability: the chance to win it, in percent.
        amount: what it is worth.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("stage", "id"), ("status", "closed_on"), ("expected_close",))

    __subject__: ClassVar[str] = "account"

    name: Field[str] = field(label="Name", pii=True)
    account: Field[Ref[Account] | None] = field(default=None)
    contact: Field[Ref[Contact] | None] = field(default=None, on_delete="set_null")
    amount: MoneyField = field(label="Amount")
    stage: Field[str] = field(default="new", length=60, label="Stage")
    owner: Field[str | None] = field(default=None)
    pipeline: Field[str] = field(default="", length=60)
    product: Field[Ref[Product] | None] = field(default=None)
    probability: Field[int | None] = field(default=None, min=0, max=100)
    forecast: Field[Forecast | None] = field(default=None)
    expected_close: Field[date | None] = field(default=None)
    opened_on: Field[date | None] = field(default=None)
    source: Field[str | None] = field(default=None, length=100)
    won_reason: Field[str | None] = field(default=None, pii=True)
    lost_reason: Field[str | None] = field(default=None, pii=True)
    closed_at: Field[datetime | None] = field(default=None)
    status: Field[Status] = field(default=Status.OPEN, read_only=True)
    closed_on: Field[date | None] = field(default=None, read_only=True)
    amount_base: OptionalMoneyField = field(default=None, read_only=True)
    base_rate: Field[Decimal | None] = field(default=None, scale=9, read_only=True)
    base_day: Field[date | None] = field(default=None, read_only=True)
    external_ref: Field[str | None] = field(default=None, unique=True)


class StageHistory(Entity):
    """One move of a deal: from where to where, by whom and when, and what the deal was worth then. Written by the pipeline alone.

    Attributes:
        from_stage: the stage it left; empty for the first.
        to_stage: the stage it came to.
        amount: what the deal was worth then.
        probability: the chance in percent then.
        status: open, won or lost from then on.
    """

    __append_only__: ClassVar[bool] = True
    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("opportunity", "at"),)

    opportunity: Field[Ref[Opportunity]] = field(on_delete="cascade", read_only=True)
    from_stage: Field[str | None] = field(length=60, read_only=True)
    to_stage: Field[str] = field(length=60, read_only=True)
    status: Field[Status] = field(read_only=True)
    at: Field[datetime] = field(read_only=True)
    by: Field[str] = field(read_only=True)
    amount: MoneyField = field(read_only=True)
    probability: Field[int | None] = field(read_only=True)
    reason: Field[str | None] = field(read_only=True, pii=True)


class OpportunityMoved(Event[Opportunity], name="sales.opportunity_moved", version=1):
    """A deal entered another stage. ``old`` is None for a new deal."""

    old: str | None
    new: str


class OpportunityWon(Event[Opportunity], name="sales.opportunity_won", version=1, personal=("reason",)):
    """A deal was won, whichever way it got there."""

    amount: Money
    account: Ref[Account] | None
    closed_at: datetime
    reason: str


class OpportunityLost(Event[Opportunity], name="sales.opportunity_lost", version=1, personal=("reason",)):
    """A deal was lost."""

    amount: Money
    closed_at: datetime
    reason: str


class OpportunityReopened(Event[Opportunity], name="sales.opportunity_reopened", version=1):
    """A closed deal is open again."""

    old: str
    new: str


plugin.entities(Opportunity, StageHistory)
plugin.events(OpportunityMoved, OpportunityWon, OpportunityLost, OpportunityReopened)

_MOVES = {"stage", "pipeline"}
_CLOSING = {*_MOVES, "amount", "closed_at", "won_reason", "lost_reason"}
_REASONS = {Status.WON: "won_reason", Status.LOST: "lost_reason"}


@plugin.hook(before_write, on=Opportunity)
def enter_stage(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Give deals what their stage says, and closed ones the figures of their day."""
    touched = [c for c in changes if ctx.op in ("create", "update") and (c.old is None or c.fields & _CLOSING)]
    if touched:
        stages = Stages(ctx.session)
        closing = _Closing(ctx.session)
        for change in touched:
            _enter(stages, change)
            closing.settle(change)
    return changes


def _enter(stages: Stages, change: Change) -> None:
    deal = cast(Opportunity, change.record)
    deal.pipeline = deal.pipeline or stages.main
    if not _moves(change):
        return
    stage = stages.find(deal.pipeline, deal.stage)
    if stage is None:
        deal.probability = None  # which no deal in a stage has: check_deals refuses it
        return
    deal.status = stage.status
    if "probability" not in change.fields or deal.probability is None or stage.status is not Status.OPEN:
        deal.probability = stage.probability
    if "forecast" not in change.fields or stage.status is not Status.OPEN:
        deal.forecast = stage.forecast


def _moves(change: Change) -> bool:
    return change.old is None or bool(change.fields & _MOVES)


class _Closing:
    """What closing a deal fixes: its day in the tenant's zone, and its amount in the base currency."""

    def __init__(self, session: Session) -> None:
        settings = session.settings(Settings)
        self._now = session.crm.runtime.clock.now()
        self._zone = ZoneInfo(settings.timezone)
        self._rates = Rates(session, settings.base_currency) if settings.base_currency else None

    def settle(self, change: Change) -> None:
        deal, old = cast(Opportunity, change.record), cast("Opportunity | None", change.old)
        for status, reason in _REASONS.items():
            if deal.status is not status:
                setattr(deal, reason, None)
        if deal.status is Status.OPEN:
            deal.closed_at = deal.closed_on = deal.amount_base = deal.base_rate = deal.base_day = None
            return
        closes = old is None or old.status is not deal.status
        if deal.closed_at is None or (closes and "closed_at" not in change.fields):
            deal.closed_at = self._now
        if old is None or old.closed_at != deal.closed_at or deal.closed_on is None:
            deal.closed_on = deal.closed_at.astimezone(self._zone).date()
            self._freeze(deal, deal.closed_on)
        elif deal.amount_base is None or deal.base_rate is None or old.amount.currency != deal.amount.currency:
            self._freeze(deal, deal.closed_on)
        elif old.amount != deal.amount:
            deal.amount_base = convert(deal.amount, deal.base_rate, deal.amount_base.currency)

    def _freeze(self, deal: Opportunity, day: date) -> None:
        rated = self._rates.convert(deal.amount, day) if self._rates else None
        deal.amount_base, deal.base_rate, deal.base_day = (rated.amount, rated.rate, rated.day) if rated else (None, None, None)


@plugin.hook(check_write, on=Opportunity)
def check_deals(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse stages that the pipeline does not have, closing without a reason, and amounts without a rate to freeze."""
    if ctx.op not in ("create", "update"):
        return
    base = ctx.session.settings(Settings).base_currency
    for change in changes:
        deal = cast(Opportunity, change.record)
        if change.old is not None and not change.fields & _CLOSING:
            continue
        if _moves(change) and deal.probability is None:
            known = [s.key for s in Stages(ctx.session).of(deal.pipeline)]
            ctx.refuse(change, "sales.unknown_stage", field="stage", stage=deal.stage, known=known)
            continue
        reason = _REASONS.get(deal.status)
        if reason is not None and not (getattr(deal, reason) or "").strip():
            ctx.refuse(change, "sales.reason_missing", field=reason, stage=deal.stage)
        if reason is not None and base is not None and deal.amount_base is None:
            ctx.refuse(change, "sales.rate_missing", field="amount", currency=deal.amount.currency, base=base, day=str(deal.closed_on))


@plugin.hook(after_write, on=Opportunity)
def record_moves(ctx: WriteCtx, changes: list[Change]) -> None:
    """Keep each move with the amount of that moment, and tell of it."""
    moved = [c for c in changes if ctx.op in ("create", "update") and (c.old is None or "stage" in c.fields)]
    if not moved:
        return
    with ctx.elevated("stage history") as elevated:
        elevated.create_many(_history(ctx.session, c) for c in moved)
    ctx.session.emit(*(event for change in moved for event in _events(change)))


def _history(session: Session, change: Change) -> StageHistory:
    deal, old = cast(Opportunity, change.record), cast("Opportunity | None", change.old)
    actor = session.actor.on_behalf_of or session.actor
    return StageHistory(
        opportunity=deal.ref,
        from_stage=old.stage if old else None,
        to_stage=deal.stage,
        status=deal.status,
        at=deal.updated_at,
        by=actor.id,
        amount=deal.amount,
        probability=deal.probability,
        reason=deal.won_reason or deal.lost_reason,
    )


def _events(change: Change) -> Iterator[Event[Opportunity]]:
    deal, old = cast(Opportunity, change.record), cast("Opportunity | None", change.old)
    yield OpportunityMoved(record=deal.ref, old=old.stage if old else None, new=deal.stage)
    if deal.status is (old.status if old else Status.OPEN):
        return
    if deal.closed_at is None:
        yield OpportunityReopened(record=deal.ref, old=old.stage if old else "", new=deal.stage)
    elif deal.status is Status.WON:
        yield OpportunityWon(
            record=deal.ref, amount=deal.amount, account=deal.account, closed_at=deal.closed_at, reason=deal.won_reason or ""
        )
    else:
        yield OpportunityLost(record=deal.ref, amount=deal.amount, closed_at=deal.closed_at, reason=deal.lost_reason or "")


def change_deal(session: Session, deal: Opportunity | Ref[Opportunity], changes: dict[str, Any]) -> Opportunity:
    """Change a deal; one that was read before is changed only if nobody did so since."""
    return session.update(Opportunity, deal.id, changes, version=None if isinstance(deal, Ref) else deal.version)


def setup(session: Session) -> Ref[Pipeline]:
    """Make the main pipeline where the tenant has none, and return it: for who may make deals, whose first one makes it too.

    Raises:
        Denied: the actor may make neither pipelines nor deals.
    """
    if not session.can("create", Pipeline) and not session.can("create", Opportunity):
        raise Denied(action="create", entity="sales.pipeline")
    return first_pipeline(session)


def close(session: Session, deal: Opportunity | Ref[Opportunity], status: Status, reason: str) -> Opportunity:
    """Move a deal to the first stage of its pipeline that is won (lost). One that is there already stays as it is.

    Raises:
        Refused: ``sales.reason_missing``.
    """
    current = session.get(Opportunity, deal.id)
    if current.status is status:
        return current
    stage = Stages(session).first(current.pipeline, status)
    return change_deal(session, deal, {"stage": stage.key, _REASONS[status]: reason})


def reopen(session: Session, deal: Opportunity | Ref[Opportunity], stage: str | None = None) -> Opportunity:
    """Open a closed deal again, in *stage*, or where it was before it was closed.

    Raises:
        Refused: ``sales.not_closed``.
    """
    current = session.get(Opportunity, deal.id)
    if current.status is Status.OPEN:
        raise Refused("sales.not_closed", stage=current.stage)
    return change_deal(session, deal, {"stage": stage or _last_open(session, current)})


def _last_open(session: Session, deal: Opportunity) -> str:
    within = (StageHistory.opportunity == deal.ref, StageHistory.status == Status.OPEN)
    last = session.query(StageHistory).where(*within).order_by(StageHistory.at.desc()).first()
    stages = Stages(session)
    if last is not None and stages.find(deal.pipeline, last.to_stage) is not None:
        return last.to_stage
    return stages.first(deal.pipeline, Status.OPEN).key
