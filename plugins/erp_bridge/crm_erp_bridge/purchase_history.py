"""Purchase history: what a customer bought, from the ERP's facts alone, to the cent and through the lens [C04]."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import attrs
from sqlalchemy import func, select

from crm_core import Account, Money, Ref, Session

from .facts import Invoice, InvoiceKind, Order, OrderKind, OrderStatus, Payment

_COUNTED = (OrderStatus.OPEN, OrderStatus.DONE)


@attrs.frozen
class PurchaseHistory:
    """What one customer bought.

    A purchase is an order that is no draft and not cancelled. The lifetime value is what was ordered less what came back; a return or
    credit note lessens by its amount, whichever sign the ERP gives it. Amounts are sums of the ERP's own, by currency; those in the
    ERP's base currency are there only where it states them for every document.

    Attributes:
        orders, returns: how many.
        first, last: the days of the first and last purchase.
        lifetime: by document currency.
        lifetime_base: in the base currency; None where the ERP leaves one out, or has several.
        invoiced: invoices less credit notes, by currency.
        paid: payments, by currency.
        balance: what the ERP says is still to be paid of invoices, less what is left of credit notes, by currency.
    """

    orders: int
    returns: int
    first: date | None
    last: date | None
    lifetime: dict[str, Money]
    lifetime_base: Money | None
    invoiced: dict[str, Money]
    paid: dict[str, Money]
    balance: dict[str, Money]

    @property
    def interval(self) -> timedelta | None:
        """The frequency: the average time between two purchases, (last - first) / (purchases - 1); None with fewer than two."""
        if self.first is None or self.last is None or self.orders < 2:
            return None
        return (self.last - self.first) / (self.orders - 1)


def purchase_history(session: Session, account: Account | Ref[Account]) -> PurchaseHistory:
    """Return what a customer bought, as far as the actor may see it."""
    ref = account if isinstance(account, Ref) else account.ref
    bought = (Order.account == ref, Order.status.in_(_COUNTED))
    counted: Any = select(Order.kind, func.count(), func.min(Order.ordered_on), func.max(Order.ordered_on)).where(*bought)
    kinds = {row[0]: row[1:] for row in session.execute(counted.group_by(Order.kind)).all()}
    orders, first, last = kinds.get(OrderKind.SALE, (0, None, None))
    left = (Invoice.account == ref, Invoice.open_amount.currency.is_not(None))
    return PurchaseHistory(
        orders=orders,
        returns=kinds.get(OrderKind.RETURN, (0,))[0],
        first=first,
        last=last,
        lifetime=_less(
            _sums(session, Order.total, *bought, Order.kind == OrderKind.SALE),
            _sums(session, abs(Order.total), *bought, Order.kind == OrderKind.RETURN),
        ),
        lifetime_base=_base(session, bought),
        invoiced=_less(
            _sums(session, Invoice.total, Invoice.account == ref, Invoice.kind == InvoiceKind.INVOICE),
            _sums(session, abs(Invoice.total), Invoice.account == ref, Invoice.kind == InvoiceKind.CREDIT_NOTE),
        ),
        paid=_sums(session, Payment.amount, Payment.account == ref),
        balance=_less(
            _sums(session, Invoice.open_amount, *left, Invoice.kind == InvoiceKind.INVOICE),
            _sums(session, abs(Invoice.open_amount), *left, Invoice.kind == InvoiceKind.CREDIT_NOTE),
        ),
    )


def _sums(session: Session, amount: Any, *criteria: Any) -> dict[str, Money]:
    rows: Any = session.execute(select(amount.currency, amount.sum()).where(*criteria).group_by(amount.currency).order_by(amount.currency))
    return {row[0]: row[1] for row in rows.all()}


def _less(plus: dict[str, Money], minus: dict[str, Money]) -> dict[str, Money]:
    """Take *minus* off."""
    found = dict(plus)
    for currency, amount in minus.items():
        found[currency] = found.get(currency, Money.zero(currency)) - amount
    return found


def _base(session: Session, bought: tuple[Any, ...]) -> Money | None:
    missing = session.query(Order).where(*bought, Order.base_total.currency.is_(None)).count(limit=1)
    if missing:
        return None
    sums = _less(
        _sums(session, Order.base_total, *bought, Order.kind == OrderKind.SALE),
        _sums(session, abs(Order.base_total), *bought, Order.kind == OrderKind.RETURN),
    )
    return next(iter(sums.values())) if len(sums) == 1 else None
