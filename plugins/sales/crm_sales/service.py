"""The service of the module: what hosts and other plugins ask for with ``session.use(Sales)``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from crm_core import Account, Contact, Money, Ref, Session

from . import conversion, forecast, leads, opportunities, orders, pipeline, products, promises, quotes, reports, waterfall
from .conversion import Conversion
from .forecast import ForecastLine
from .leads import IntakeResult, Lead, LeadIntake
from .opportunities import Opportunity
from .orders import Order, OrderStatus
from .pipeline import Pipeline, StageDraft, Status
from .plugin import plugin
from .products import Asked, PriceAnswer, PriceBook
from .promises import Commitment
from .quotes import LineDraft, Quote, QuoteStatus
from .reports import FunnelStep, Performance, StageFigure, WinRate
from .settings import Rounding
from .waterfall import Waterfall


@plugin.service
class Sales:
    """Sales in one session, with its actor's rights. Each method is told in the file of its capability."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # Leads

    def intake(self, given: LeadIntake, *, key: str | None = None) -> IntakeResult:
        """Take somebody in, once a *key*: see :func:`crm_sales.leads.intake`."""
        return leads.intake(self._session, given, key=key)

    def claim(self, lead: Lead | Ref[Lead]) -> Lead:
        """Take a lead out of the pool."""
        return leads.claim(self._session, lead)

    def release(self, lead: Lead | Ref[Lead], *, reason: str) -> Lead:
        """Put a lead back into the pool."""
        return leads.release(self._session, lead, reason)

    def convert(
        self,
        lead: Lead | Ref[Lead],
        *,
        account: Ref[Account] | None = None,
        contact: Ref[Contact] | None = None,
        deal: str = "",
        amount: Money | None = None,
    ) -> Conversion:
        """Turn a lead into account, contact and deal, once: see :func:`crm_sales.conversion.convert`."""
        return conversion.convert(self._session, lead, account=account, contact=contact, deal=deal, amount=amount)

    # Deals

    def setup(self) -> Ref[Pipeline]:
        """Make the main pipeline where there is none: see :func:`crm_sales.opportunities.setup`."""
        return opportunities.setup(self._session)

    def make_pipeline(self, key: str, name: str, stages: Sequence[StageDraft], *, main: bool = False) -> Ref[Pipeline]:
        """Make a pipeline with its stages."""
        return pipeline.make(self._session, key, name, stages, main=main)

    def win(self, deal: Opportunity | Ref[Opportunity], *, reason: str) -> Opportunity:
        """Win a deal."""
        return opportunities.close(self._session, deal, Status.WON, reason)

    def lose(self, deal: Opportunity | Ref[Opportunity], *, reason: str) -> Opportunity:
        """Lose a deal."""
        return opportunities.close(self._session, deal, Status.LOST, reason)

    def move(self, deal: Opportunity | Ref[Opportunity], stage: str) -> Opportunity:
        """Move a deal to another stage."""
        return opportunities.change_deal(self._session, deal, {"stage": stage})

    def reopen(self, deal: Opportunity | Ref[Opportunity], *, stage: str | None = None) -> Opportunity:
        """Open a closed deal again; its history stays."""
        return opportunities.reopen(self._session, deal, stage)

    def promises(self, deal: Opportunity | Ref[Opportunity]) -> list[Commitment]:
        """Return what was promised on a deal."""
        return promises.promises(self._session, deal)

    # Quotes and orders

    def prices(self, wanted: Sequence[Asked]) -> list[PriceAnswer]:
        """Say what products cost, and why."""
        return products.prices(self._session, wanted)

    def quote(
        self,
        deal: Opportunity | Ref[Opportunity],
        lines: Sequence[LineDraft],
        *,
        rounding: Rounding | None = None,
        valid_until: date | None = None,
        book: Ref[PriceBook] | None = None,
    ) -> Quote:
        """Make a draft of a quote."""
        return quotes.make_quote(self._session, deal, lines, rounding=rounding, valid_until=valid_until, book=book)

    def send(self, quote: Quote | Ref[Quote]) -> Quote:
        """Mark a quote as sent; from then on it cannot be changed."""
        return quotes.move_quote(self._session, quote, QuoteStatus.SENT)

    def accept(self, quote: Quote | Ref[Quote]) -> Quote:
        """Mark a quote as accepted by the customer."""
        return quotes.move_quote(self._session, quote, QuoteStatus.ACCEPTED)

    def decline(self, quote: Quote | Ref[Quote]) -> Quote:
        """Mark a quote as declined by the customer."""
        return quotes.move_quote(self._session, quote, QuoteStatus.DECLINED)

    def revise(self, quote: Quote | Ref[Quote]) -> Quote:
        """Make the next version of a quote."""
        return quotes.revise(self._session, quote)

    def order(self, quote: Quote | Ref[Quote]) -> Order:
        """Make the order of an accepted quote, once."""
        return orders.order_from(self._session, quote)

    def confirm(self, order: Order | Ref[Order]) -> Order:
        """Confirm an order, once."""
        return orders.move_order(self._session, order, OrderStatus.CONFIRMED)

    def move_order(self, order: Order | Ref[Order], status: OrderStatus) -> Order:
        """Move an order on."""
        return orders.move_order(self._session, order, status)

    # Figures

    def forecast(self, *, base: str | None = None, since: date | None = None, until: date | None = None) -> list[ForecastLine]:
        """Forecast per month, owner and currency."""
        return forecast.forecast(self._session, base=base, since=since, until=until)

    def waterfall(self, since: datetime, until: datetime | None = None, *, currency: str) -> Waterfall:
        """Explain how the open pipeline of one instant became that of another."""
        return waterfall.waterfall(self._session, since, until, currency=currency)

    def pipeline_by_stage(self) -> list[StageFigure]:
        """Count and add up deals by stage."""
        return reports.pipeline_by_stage(self._session)

    def funnel(self, pipeline: str = "") -> list[FunnelStep]:
        """Count the deals that came as far as each stage of a pipeline."""
        return reports.funnel(self._session, pipeline)

    def win_rate(self) -> WinRate:
        """Count won and lost deals."""
        return reports.win_rate(self._session)

    def performance_by_owner(self) -> list[Performance]:
        """Count and add up deals by owner."""
        return reports.performance(self._session, "owner")

    def performance_by_product(self) -> list[Performance]:
        """Count and add up deals by product."""
        return reports.performance(self._session, "product")
