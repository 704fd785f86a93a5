"""Panels: what sales shows beside a customer."""

from __future__ import annotations

from typing import Any

from crm_core import Account, Contact, Query, Session

from .opportunities import Opportunity
from .orders import Order
from .pipeline import Status
from .plugin import plugin

MOST = 20


@plugin.panel(Account, label="sales.panel.deals", reads=[Opportunity])
def deals_of_account(session: Session, account: Account) -> dict[str, Any]:
    """The open deals of a customer, the newest first."""
    return _open(session.query(Opportunity).where(Opportunity.account == account.ref))


@plugin.panel(Contact, label="sales.panel.deals", reads=[Opportunity])
def deals_of_contact(session: Session, contact: Contact) -> dict[str, Any]:
    """The open deals in which a person is the contact, the newest first."""
    return _open(session.query(Opportunity).where(Opportunity.contact == contact.ref))


@plugin.panel(Account, label="sales.panel.orders", reads=[Order])
def orders_of_account(session: Session, account: Account) -> dict[str, Any]:
    """The orders of a customer, the newest first."""
    page = session.query(Order).where(Order.account == account.ref).order_by(Order.id.desc()).page(MOST)
    return {"orders": page.items, "more": page.has_more}


def _open(deals: Query[Opportunity]) -> dict[str, Any]:
    page = deals.where(Opportunity.status == Status.OPEN).order_by(Opportunity.id.desc()).page(MOST)
    return {"deals": page.items, "more": page.has_more}
