"""Deals of sales that go to the ERP: won opportunities and confirmed orders [C63].

A companion: it exists in a CRM that has both modules, and sees of sales what it sends and no more.
"""

from __future__ import annotations

from typing import Any

from crm_core import Event, Plugin, Session
from crm_sales.api import OpportunityWon, OrderConfirmed

from .service import ErpBridge

plugin = Plugin("erp_bridge.deals", version="1.0.0", requires={"sales": ">=1,<2", "erp_bridge": ">=1,<2"}, label="Deals to the ERP")
plugin.grants("account:read", "contact:read", "sales.opportunity:read", "sales.order:read")


@plugin.on(OpportunityWon)
@plugin.on(OrderConfirmed)
def send(session: Session, event: Event[Any]) -> None:
    """Queue the deal or order, and its customer before it where the ERP does not have them."""
    record = session.find(event.record.entity, event.record.id)
    if record is not None:
        session.use(ErpBridge).offer(record, source=event.id)
