"""What sales adds to the agent card: the customer's open deals and what they bought [C45].

A companion, like the hand-over. It reads as the agent: without a right on deals or orders, the card has none.
"""

from __future__ import annotations

from crm_core import Plugin, Session
from crm_sales.api import Opportunity, Order, OrderLine, OrderStatus, Product, Status

from .agent_card import MOST, CardCtx, CardDeal, CardPart, CardSubject, card_parts, of_subject, readable

plugin = Plugin("service.deals", version="1.0.0", requires={"sales": ">=1,<2", "service": ">=1,<2"}, label="Deals on the agent card")

_BOUGHT = (OrderStatus.CONFIRMED, OrderStatus.PART_FULFILLED, OrderStatus.FULFILLED, OrderStatus.CLOSED)


@plugin.hook(card_parts)
def deals_and_products(ctx: CardCtx, subject: CardSubject) -> CardPart:
    """Add open deals, and the products of confirmed orders and won deals."""
    return CardPart(
        deals=readable(lambda: _deals(ctx.session, subject)) or [],
        products=[*(readable(lambda: _ordered(ctx.session, subject)) or []), *(readable(lambda: _won(ctx.session, subject)) or [])],
    )


def _deals(session: Session, subject: CardSubject) -> list[CardDeal]:
    found = session.query(Opportunity).where(of_subject(Opportunity, subject), Opportunity.status == Status.OPEN)
    return [_shown(deal) for deal in found.order_by(Opportunity.expected_close, Opportunity.id).page(MOST)]


def _shown(deal: Opportunity) -> CardDeal:
    return CardDeal(
        readable(lambda: deal.name) or "",
        readable(lambda: deal.stage),
        readable(lambda: deal.amount),
        readable(lambda: deal.owner),
        readable(lambda: deal.expected_close),
    )


def _ordered(session: Session, subject: CardSubject) -> list[str]:
    if subject.account is None:
        return []
    orders = session.query(Order).where(Order.account == subject.account, Order.status.in_(_BOUGHT)).order_by(Order.created_at.desc())
    lines = session.query(OrderLine).where(OrderLine.order.in_([o.id for o in orders.page(MOST)])).order_by(OrderLine.id).all()
    return [p.name for p in session.get_many(Product, [line.product for line in lines if line.product])]


def _won(session: Session, subject: CardSubject) -> list[str]:
    won = session.query(Opportunity).where(of_subject(Opportunity, subject), Opportunity.status == Status.WON)
    recent = won.order_by(Opportunity.created_at.desc()).page(MOST)
    return [p.name for p in session.get_many(Product, [d.product for d in recent if d.product])]
