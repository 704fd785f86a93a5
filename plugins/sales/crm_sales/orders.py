"""Orders: made of an accepted quote with its figures to the cent, confirmed once, moved through declared states [C18]."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, cast

from crm_core import (
    Account,
    Change,
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

from .numbers import next_numbers
from .opportunities import Opportunity
from .plugin import plugin
from .products import Product
from .quotes import Quote, QuoteStatus, lines_of
from .settings import Rounding


class OrderStatus(Enum):
    """How far an order is."""

    DRAFT = "draft"
    CONFIRMED = "confirmed"
    PART_FULFILLED = "part_fulfilled"
    FULFILLED = "fulfilled"
    CLOSED = "closed"
    CANCELLED = "cancelled"


_NEXT: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.DRAFT: frozenset({OrderStatus.CONFIRMED, OrderStatus.CANCELLED}),
    OrderStatus.CONFIRMED: frozenset({OrderStatus.PART_FULFILLED, OrderStatus.FULFILLED, OrderStatus.CANCELLED}),
    OrderStatus.PART_FULFILLED: frozenset({OrderStatus.FULFILLED, OrderStatus.CLOSED}),
    OrderStatus.FULFILLED: frozenset({OrderStatus.CLOSED}),
}


class Order(Entity):
    """What a customer ordered. Its figures are those of its quote; only status and owner change.

    Attributes:
        rounding: whether tax is rounded by line or on the whole.
        confirmed_at: when it was confirmed.
        quote: the quote it came from.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("status", "id"),)

    number: Field[str] = field(length=40, unique=True, read_only=True)
    quote: Field[Ref[Quote]] = field(unique=True, read_only=True)
    account: Field[Ref[Account]] = field(read_only=True)
    opportunity: Field[Ref[Opportunity] | None] = field(default=None, read_only=True)
    owner: Field[str | None] = field(default=None)
    status: Field[OrderStatus] = field(default=OrderStatus.DRAFT)
    rounding: Field[Rounding] = field(read_only=True)
    net: MoneyField = field(read_only=True)
    tax: MoneyField = field(read_only=True)
    total: MoneyField = field(read_only=True)
    confirmed_at: Field[datetime | None] = field(default=None, read_only=True)


class OrderLine(Entity):
    """A line of an order, as it stood on the quote.

    Attributes:
        order: the order it stands on.
        discount: in percent.
        tax: in percent.
        unit_price: the price after the discount.
        tax_amount: the tax on the line.
        net: the amount without tax.
    """

    order: Field[Ref[Order]] = field(on_delete="cascade", read_only=True)
    position: Field[int] = field(read_only=True)
    product: Field[Ref[Product] | None] = field(default=None, read_only=True)
    description: Field[str] = field(default="", read_only=True)
    quantity: Field[Decimal] = field(read_only=True)
    price: MoneyField = field(read_only=True)
    discount: Field[Decimal] = field(read_only=True)
    tax: Field[Decimal] = field(read_only=True)
    unit_price: MoneyField = field(read_only=True)
    net: MoneyField = field(read_only=True)
    tax_amount: OptionalMoneyField = field(default=None, read_only=True)


class OrderConfirmed(Event[Order], name="sales.order_confirmed", version=1):
    """An order is confirmed, once."""

    account: Ref[Account]
    total: Money


plugin.entities(Order, OrderLine)
plugin.events(OrderConfirmed)

_COPIED = ("position", "product", "description", "quantity", "price", "discount", "tax", "unit_price", "net", "tax_amount")


def order_from(session: Session, quote: Quote | Ref[Quote]) -> Order:
    """Make the order of an accepted quote, with its figures as they are; a second call returns the first one's order.

    Raises:
        Denied: the actor may not change the quote.
        Refused: ``sales.quote_not_accepted``.
    """
    current = session.get(Quote, quote.id)
    if not session.can("update", current):
        raise Denied(action="update", entity="sales.quote")
    with session.elevated("order of a quote") as elevated:
        accepted = elevated.lock(Quote, current.id)
        if accepted.status is not QuoteStatus.ACCEPTED:
            raise Refused("sales.quote_not_accepted", number=accepted.number, status=accepted.status.value)
        made = elevated.query(Order).where(Order.quote == accepted.ref).first() or _create(elevated, accepted)
    return session.get(Order, made.id)


def _create(elevated: Session, quote: Quote) -> Order:
    assert quote.net is not None
    assert quote.tax is not None
    assert quote.total is not None
    (number,) = next_numbers(elevated, "O", 1)
    made = elevated.create(
        Order(
            number=number, quote=quote.ref, account=quote.account, opportunity=quote.opportunity, owner=quote.owner,
            rounding=quote.rounding or Rounding.LINE, net=quote.net, tax=quote.tax, total=quote.total,
        )
    )  # fmt: skip
    lines: list[dict[str, Any]] = [{n: getattr(line, n) for n in _COPIED} for line in lines_of(elevated, quote)]
    elevated.create_many(OrderLine(order=made.ref, **line) for line in lines)
    return made


def order_lines(session: Session, order: Order | Ref[Order]) -> list[OrderLine]:
    """Return an order's lines in order."""
    return session.query(OrderLine).where(OrderLine.order == Ref(Order, order.id)).order_by(OrderLine.position).all()


def move_order(session: Session, order: Order | Ref[Order], status: OrderStatus) -> Order:
    """Move an order on; one that is there already stays as it is.

    Raises:
        Refused: ``sales.order_move``.
    """
    return session.update(Order, order.id, {"status": status})


@plugin.hook(before_write, on=Order)
def date_orders(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Keep when an order was confirmed."""
    for change in changes:
        order = cast(Order, change.record)
        if "status" in change.fields and order.status is OrderStatus.CONFIRMED:
            order.confirmed_at = ctx.session.crm.runtime.clock.now()
    return changes


@plugin.hook(check_write, on=Order)
def check_orders(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse moves that an order cannot make; every order begins as a draft."""
    for change in changes:
        order, old = cast(Order, change.record), cast("Order | None", change.old)
        if "status" not in change.fields:
            continue
        if order.status not in (_NEXT.get(old.status, frozenset()) if old else {OrderStatus.DRAFT}):
            ctx.refuse(change, "sales.order_move", field="status", old=old.status.value if old else "", new=order.status.value)


@plugin.hook(after_write, on=Order)
def tell_confirmed(ctx: WriteCtx, changes: list[Change]) -> None:
    """Tell of confirmed orders."""
    moved = [cast(Order, c.record) for c in changes if "status" in c.fields]
    confirmed = [order for order in moved if order.status is OrderStatus.CONFIRMED]
    ctx.session.emit(*(OrderConfirmed(record=o.ref, account=o.account, total=o.total) for o in confirmed))
