"""How a quote's lines get their prices and the quote its totals: the hooks that vendors take part in, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import cast

import attrs

from crm_core import (
    Account,
    Change,
    Ctx,
    FilterHook,
    Money,
    Ref,
    Refused,
    Session,
    VetoHook,
    WriteCtx,
    after_write,
    before_write,
    check_write,
)

from .pipeline import reference
from .plugin import plugin
from .pricing import UNIT_PLACES, Taxed, discounted, line_net, tax_of, totals
from .products import Asked, Product, prices
from .quotes import Quote, QuoteLine, QuoteStatus
from .settings import Rounding


@attrs.define(eq=False)
class PriceContext(Ctx):
    """Lines that are about to be priced. ``on`` is the day whose prices count."""

    on: date


@attrs.define(eq=False)
class PriceLine:
    """A line that is being priced.

    Attributes:
        account: who buys.
        product: the product's code; its name where it has none; empty for a line in words.
        qty: how many.
        unit_price: the price of one, so far; a filter changes it.
        list_price: the price before any discount.
        discount: what the seller asked for, in percent; ``sales.discounts`` takes it off.
    """

    account: Ref[Account]
    product: str
    qty: Decimal
    unit_price: Money
    list_price: Money
    discount: Decimal = Decimal(0)


@attrs.define(eq=False)
class DiscountCheck(Ctx):
    """Priced lines that somebody may refuse: ``ctx.refuse(line, "acme.too_cheap")``."""


price_lines: FilterHook[PriceContext, list[PriceLine]] = FilterHook("sales.price_lines")
"""Change the unit prices of a quote's lines; it runs whenever a line's price, quantity or discount changes, from its price on."""

check_discount: VetoHook[DiscountCheck, list[PriceLine]] = VetoHook("sales.check_discount")
"""Refuse lines whose price may not be."""

plugin.hooks(price_lines, check_discount)

_PRICED = frozenset({"quote", "product", "quantity", "price", "discount", "tax"})


@plugin.hook(price_lines)
def discounts(ctx: PriceContext, lines: list[PriceLine]) -> list[PriceLine]:
    """Take the asked discount off."""
    for line in lines:
        line.unit_price = discounted(line.unit_price, line.discount)
    return lines


@plugin.hook(before_write, on=QuoteLine)
def price(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Find the price of lines that have none, let the hooks change it, and work out net and tax."""
    lines = [cast(QuoteLine, c.record) for c in changes if ctx.op in ("create", "update") and (c.old is None or c.fields & _PRICED)]
    if not lines:
        return changes
    session = ctx.session
    on = session.crm.runtime.clock.now().date()
    quotes = {q.id: q for q in session.get_many(Quote, [line.quote for line in lines])}
    known = [line for line in lines if line.quote.id in quotes]
    products = _fill_from_products(session, known, quotes, on)
    priced = [line for line in known if line.price is not None and line.price.currency == quotes[line.quote.id].currency]
    shown = price_lines(PriceContext(session=session, on=on), [_shown(x, quotes[x.quote.id], products, x.price) for x in priced])
    for line, answer in zip(priced, shown, strict=True):
        line.unit_price = answer.unit_price.rounded(UNIT_PLACES)
        line.net = line_net(line.unit_price, line.quantity)
        by_line = quotes[line.quote.id].rounding is Rounding.LINE
        line.tax_amount = tax_of(line.net, line.tax or Decimal(0)) if by_line else None
    return changes


def _fill_from_products(session: Session, lines: Sequence[QuoteLine], quotes: dict[str, Quote], on: date) -> dict[str, Product]:
    with reference(session, Product) as reader:
        products = {p.id: p for p in reader.get_many(Product, [line.product for line in lines if line.product])}
    unpriced = [line for line in lines if line.price is None and line.product is not None]
    wanted = [_asked(line.product, line, quotes[line.quote.id], on) for line in unpriced if line.product]
    for line, answer in zip(unpriced, prices(session, wanted) if wanted else (), strict=True):
        line.price = answer.price
    for line in lines:
        product = products.get(line.product.id) if line.product else None
        line.tax = (product.tax if product else Decimal(0)) if line.tax is None else line.tax
        line.description = line.description or (product.name if product else "")
    return products


def _asked(product: Ref[Product], line: QuoteLine, quote: Quote, on: date) -> Asked:
    return Asked(product, line.quantity, on, quote.currency, quote.book)


def _shown(line: QuoteLine, quote: Quote, products: dict[str, Product], unit_price: Money | None) -> PriceLine:
    assert line.price is not None
    assert unit_price is not None
    product = products.get(line.product.id) if line.product else None
    name = (product.code or product.name) if product else ""
    return PriceLine(quote.account, name, line.quantity, unit_price, line.price, line.discount)


@plugin.hook(check_write, on=QuoteLine)
def check_lines(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse lines without a price, in another currency, of a quote that was sent, or that a discount check refuses."""
    session = ctx.session
    lines = [(c, cast(QuoteLine, c.record)) for c in changes]
    quotes = {q.id: q for q in session.get_many(Quote, [line.quote for _, line in lines])}
    asked: list[tuple[Change, QuoteLine, Quote]] = []
    for change, line in lines:
        quote = quotes.get(line.quote.id)
        if quote is None:
            continue
        if quote.status is not QuoteStatus.DRAFT or ("quote" in change.fields and change.old is not None):
            ctx.refuse(change, "sales.quote_sent", number=quote.number, status=quote.status.value)
        elif line.price is None:
            ctx.refuse(change, "sales.price_missing", field="price", product=line.description, currency=quote.currency)
        elif line.price.currency != quote.currency:
            ctx.refuse(change, "sales.other_currency", field="price", currency=line.price.currency, expected=quote.currency)
        elif line.unit_price is not None and ctx.op in ("create", "update"):
            asked.append((change, line, quote))
    _check_discounts(ctx, asked)


def _check_discounts(ctx: WriteCtx, asked: Sequence[tuple[Change, QuoteLine, Quote]]) -> None:
    check = DiscountCheck(session=ctx.session)
    if not asked or not check_discount.plan(check):
        return
    with reference(ctx.session, Product) as reader:
        products = {p.id: p for p in reader.get_many(Product, [line.product for _, line, _ in asked if line.product])}
    seen = [_shown(line, quote, products, line.unit_price) for _, line, quote in asked]
    change_of = {id(line): change for line, (change, _, _) in zip(seen, asked, strict=True)}
    for refusal in check_discount.refusals(check, seen):
        target = change_of.get(id(refusal.record), refusal.record)
        ctx.refuse(target, refusal.code, field=refusal.field, **{"plugin": refusal.by.plugin, **refusal.params})


@plugin.hook(after_write, on=QuoteLine)
def settle_totals(ctx: WriteCtx, changes: list[Change]) -> None:
    """Bring the totals of the quotes up to their lines; whoever changes another line at the same time waits."""
    with ctx.elevated("totals of a quote") as elevated:
        for quote in sorted({cast(QuoteLine, c.record).quote.id for c in changes}):
            _settle(elevated, quote)


def _settle(elevated: Session, id: str) -> None:
    quote = elevated.lock(Quote, id)
    if quote.status is not QuoteStatus.DRAFT:
        raise Refused("sales.quote_sent", number=quote.number, status=quote.status.value)
    lines = elevated.query(QuoteLine).where(QuoteLine.quote == quote.ref).all()
    taxed = [Taxed(line.net, line.tax or Decimal(0)) for line in lines if line.net is not None]
    sums = totals(taxed, quote.currency, quote.rounding or Rounding.LINE)
    elevated.update(Quote, id, {"net": sums.net, "tax": sums.tax, "total": sums.total})
