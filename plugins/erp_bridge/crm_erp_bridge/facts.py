"""What the ERP says a customer bought: orders, invoices and payments. Its figures are kept as they are and never computed anew [C04]."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import ClassVar

from crm_core import Account, Entity, Field, MoneyField, OptionalMoneyField, Ref, field

from .plugin import plugin


class OrderKind(Enum):
    """A purchase, or goods that came back."""

    SALE = "sale"
    RETURN = "return"


class OrderStatus(Enum):
    """Where the ERP has an order; drafts and cancelled ones are no purchases."""

    DRAFT = "draft"
    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


class InvoiceKind(Enum):
    """Whether it asks for money or gives some back."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class Order(Entity):
    """An order as the ERP has it. ``base_total`` is its total in the ERP's base currency, at the ERP's rate.

    Attributes:
        ordered_on: the day of the order.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "ordered_on"),)

    number: Field[str] = field(length=100, index=True)
    account: Field[Ref[Account]]
    ordered_on: Field[date]
    kind: Field[OrderKind] = field(default=OrderKind.SALE)
    status: Field[OrderStatus] = field(default=OrderStatus.OPEN)
    net: OptionalMoneyField = field(default=None)
    tax: OptionalMoneyField = field(default=None)
    total: MoneyField
    base_total: OptionalMoneyField = field(default=None)


class OrderLine(Entity):
    """A line of an order as the ERP has it. ``product`` is the ERP's code; ``total`` is its own figure, not price times quantity."""

    order: Field[Ref[Order]] = field(on_delete="cascade", index=True)
    position: Field[int]
    product: Field[str | None] = field(default=None, length=100)
    description: Field[str] = field(default="")
    quantity: Field[Decimal]
    price: OptionalMoneyField = field(default=None)
    total: MoneyField


class Invoice(Entity):
    """An invoice or credit note as the ERP has it; ``open_amount`` is what is still to be paid of it.

    Attributes:
        invoiced_on: the day on it.
        due_on: the day it is to be paid by.
        base_total: the total in the ERP's base currency.
        order: the order it is for.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "invoiced_on"),)

    number: Field[str] = field(length=100, index=True)
    account: Field[Ref[Account]]
    order: Field[Ref[Order] | None] = field(default=None, on_delete="set_null")
    kind: Field[InvoiceKind] = field(default=InvoiceKind.INVOICE)
    invoiced_on: Field[date]
    due_on: Field[date | None] = field(default=None)
    net: OptionalMoneyField = field(default=None)
    tax: OptionalMoneyField = field(default=None)
    total: MoneyField
    base_total: OptionalMoneyField = field(default=None)
    open_amount: OptionalMoneyField = field(default=None)


class Payment(Entity):
    """Money that came in (or, below zero, went back) as the ERP has it.

    Attributes:
        invoice: the invoice it pays.
        paid_on: the day it came in.
        amount: how much, below zero where it went back.
        base_amount: the amount in the ERP's base currency.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "paid_on"),)

    number: Field[str] = field(length=100, index=True)
    account: Field[Ref[Account]]
    invoice: Field[Ref[Invoice] | None] = field(default=None, on_delete="set_null")
    paid_on: Field[date]
    amount: MoneyField
    base_amount: OptionalMoneyField = field(default=None)


plugin.entities(Order, OrderLine, Invoice, Payment)
