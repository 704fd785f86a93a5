"""Deals of sales that go to the ERP: won opportunities and confirmed orders [C63].

A companion: it exists in a CRM that has both modules, and sees of sales what it sends and no more.
"""

from __future__ import annotations

from typing import Any

from crm_core import Event, Plugin, Session, Updated
from crm_sales.api import Opportunity, OpportunityWon, Order, OrderConfirmed, OrderStatus, Status

from .due import DueCtx, due
from .service import ErpBridge

plugin = Plugin("erp_bridge.deals", version="1.0.0", requires={"sales": ">=1,<2", "erp_bridge": ">=1,<2"}, label="Deals to the ERP")
plugin.grants("account:read", "contact:read", "sales.opportunity:read", "sales.order:read")
_ORDERED = (OrderStatus.CONFIRMED, OrderStatus.PART_FULFILLED, OrderStatus.FULFILLED, OrderStatus.CLOSED)


@plugin.on(OpportunityWon)
@plugin.on(OrderConfirmed)
@plugin.on(Updated[Opportunity])
@plugin.on(Updated[Order])
def send(session: Session, event: Event[Any]) -> None:
    """Queue the deal or order, its customer before it where the ERP does not have them, and later what changes of it."""
    record = session.find(event.record.entity, event.record.id)
    if record is not None and (record.status is Status.WON or record.status in _ORDERED):
        session.use(ErpBridge).offer(record, source=event.id)


@plugin.hook(due)
def won_or_confirmed(ctx: DueCtx, ids: list[str]) -> list[dict[str, Any]] | None:
    """Answer for opportunities, which are due when they are won, and for orders, from their confirmation on."""
    ready: dict[str, tuple[Any, Any]] = {
        "sales.opportunity": (Opportunity, Opportunity.status == Status.WON),
        "sales.order": (Order, Order.status.in_(_ORDERED)),
    }
    if ctx.record not in ready:
        return None
    entity, condition = ready[ctx.record]
    with ctx.elevated("what is to be in the ERP") as own:
        which = entity.id.in_(ids) if ids else entity.id > ctx.after
        found = own.query(entity).where(condition, which).order_by(entity.id).page(500)
        return [own.crm.to_json(record) for record in found]
