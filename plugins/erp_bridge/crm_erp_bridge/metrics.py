"""What the ERP's facts are measured by, declared for whoever reports: what was bought, sent back, invoiced and paid [C04, C57]."""

from __future__ import annotations

from crm_core import Money
from crm_core.rules import F

from .facts import Invoice, InvoiceKind, Order, OrderKind, OrderStatus, Payment
from .plugin import plugin

_COUNTED = F("status").in_([OrderStatus.OPEN, OrderStatus.DONE])
_SOLD = _COUNTED & (F("kind") == OrderKind.SALE)
_RETURNED = _COUNTED & (F("kind") == OrderKind.RETURN)

plugin.dimension("account", Order, "account", label="erp_bridge.dimension.account")
plugin.dimension("order_status", Order, "status", label="erp_bridge.dimension.status")
plugin.dimension("currency", Order, Order.total.currency, label="erp_bridge.dimension.currency")
plugin.dimension("invoice_account", Invoice, "account", label="erp_bridge.dimension.account")
plugin.dimension("payment_account", Payment, "account", label="erp_bridge.dimension.account")

orders = plugin.measure(
    "orders",
    Order,
    where=_SOLD,
    at="ordered_on",
    unit="orders",
    label="erp_bridge.metric.orders",
    formula="number of orders that are no draft and not cancelled",
)
ordered = plugin.measure(
    "ordered_value",
    Order,
    of="total",
    where=_SOLD,
    at="ordered_on",
    unit="money",
    label="erp_bridge.metric.ordered_value",
    formula="sum of the totals of these orders, as the ERP states them",
)
returned = plugin.measure(
    "returned_value",
    Order,
    of="total",
    where=_RETURNED,
    at="ordered_on",
    unit="money",
    label="erp_bridge.metric.returned_value",
    formula="sum of the totals of returns, each without the sign that the ERP gives it",
    better="lower",
    absolute=True,
)
plugin.measure(
    "invoiced_value",
    Invoice,
    of="total",
    where=F("kind") == InvoiceKind.INVOICE,
    at="invoiced_on",
    unit="money",
    label="erp_bridge.metric.invoiced_value",
    formula="sum of the totals of invoices, without credit notes",
)
plugin.measure(
    "open_value",
    Invoice,
    of="open_amount",
    where=~F("open_amount").is_null() & (F("kind") == InvoiceKind.INVOICE),
    at="due_on",
    unit="money",
    label="erp_bridge.metric.open_value",
    formula="sum of what the ERP says is still to be paid of invoices, without credit notes, by the day on which they are due",
    better="lower",
)
plugin.measure(
    "paid_value",
    Payment,
    of="amount",
    at="paid_on",
    unit="money",
    label="erp_bridge.metric.paid_value",
    formula="sum of the payments that came in, less what went back",
)


@plugin.metric(ordered, returned, label="erp_bridge.metric.purchase_total", unit="money")
def purchase_total(ordered: Money, returned: Money) -> Money:
    """What was ordered less what came back, whichever sign the ERP gives to a return."""
    return ordered - returned


@plugin.metric(ordered, orders, label="erp_bridge.metric.order_size", unit="money")
def order_size(ordered: Money, orders: int) -> Money | None:
    """Mean total of an order, rounded half-up to the minor unit."""
    return (ordered / orders).rounded() if orders else None
