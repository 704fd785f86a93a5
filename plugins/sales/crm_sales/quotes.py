"""Quotes: lines priced through hooks, totals by one rounding policy, unchangeable once sent, revised as a new version [C17]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import ClassVar, cast

import attrs

from crm_core import (
    Account,
    Change,
    Contact,
    Entity,
    Event,
    Field,
    Money,
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
from .products import PriceBook, Product
from .settings import Rounding, Settings


class QuoteStatus(Enum):
    """How far a quote is."""

    DRAFT = "draft"
    SENT = "sent"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


_NEXT: Mapping[QuoteStatus, frozenset[QuoteStatus]] = {
    QuoteStatus.DRAFT: frozenset({QuoteStatus.SENT, QuoteStatus.SUPERSEDED}),
    QuoteStatus.SENT: frozenset({QuoteStatus.ACCEPTED, QuoteStatus.DECLINED, QuoteStatus.EXPIRED, QuoteStatus.SUPERSEDED}),
}
_CHANGEABLE = frozenset({"status", "sent_at", "accepted_at", "owner"})
_FIXED = frozenset({"currency", "rounding", "number", "revision", "previous"})


class Quote(Entity):
    """An offer to an account. Its totals follow its lines while it is a draft; once sent, only its status changes.

    ``rounding`` is the one policy of the document: see :mod:`crm_sales.pricing`. ``revision`` counts the versions of one number.

    Attributes:
        book: the price book it is priced by.
        valid_until: the last day it can be accepted.
        terms: the terms of business, in words.
        previous: the quote that it replaces.
        sent_at: when it was sent.
        accepted_at: when it was accepted.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("number", "revision"),)

    account: Field[Ref[Account]] = field()
    opportunity: Field[Ref[Opportunity] | None] = field(default=None)
    contact: Field[Ref[Contact] | None] = field(default=None, on_delete="set_null")
    owner: Field[str | None] = field(default=None)
    currency: Field[str] = field(length=3, format="currency")
    book: Field[Ref[PriceBook] | None] = field(default=None)
    rounding: Field[Rounding | None] = field(default=None)
    status: Field[QuoteStatus] = field(default=QuoteStatus.DRAFT)
    valid_until: Field[date | None] = field(default=None)
    terms: Field[str] = field(default="", text=True)
    number: Field[str | None] = field(default=None, length=40, read_only=True)
    revision: Field[int] = field(default=1, read_only=True)
    previous: Field[Ref[Quote] | None] = field(default=None, read_only=True)
    net: OptionalMoneyField = field(default=None, read_only=True)
    tax: OptionalMoneyField = field(default=None, read_only=True)
    total: OptionalMoneyField = field(default=None, read_only=True)
    sent_at: Field[datetime | None] = field(default=None, read_only=True)
    accepted_at: Field[datetime | None] = field(default=None, read_only=True)


class QuoteLine(Entity):
    """A line of a quote. ``price`` is asked of the price book where none is given; ``discount`` and ``tax`` are in percent.

    ``unit_price`` is what the hooks of ``sales.price_lines`` make of the price, the discount included; ``net`` is ``unit_price`` times
    ``quantity``; ``tax_amount`` is the line's tax where the quote rounds by line.

    Attributes:
        quote: the quote it stands on.
    """

    quote: Field[Ref[Quote]] = field(on_delete="cascade")
    position: Field[int] = field(default=0, min=0)
    product: Field[Ref[Product] | None] = field(default=None)
    description: Field[str] = field(default="")
    quantity: Field[Decimal] = field(default=Decimal(1), min=0)
    price: OptionalMoneyField = field(default=None)
    discount: Field[Decimal] = field(default=Decimal(0), min=0, max=100)
    tax: Field[Decimal | None] = field(default=None, min=0, max=100)
    unit_price: OptionalMoneyField = field(default=None, read_only=True)
    net: OptionalMoneyField = field(default=None, read_only=True)
    tax_amount: OptionalMoneyField = field(default=None, read_only=True)


class QuoteAccepted(Event[Quote], name="sales.quote_accepted", version=1):
    """A customer accepted a quote."""

    account: Ref[Account]


plugin.entities(Quote, QuoteLine)
plugin.events(QuoteAccepted)


@plugin.hook(before_write, on=Quote)
def complete_quotes(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Give new quotes a number and a rounding policy, and date what happens to them."""
    now = ctx.session.crm.runtime.clock.now()
    unnumbered = [q for q in (cast(Quote, c.record) for c in changes) if ctx.op == "create" and not q.number]
    for quote, number in zip(unnumbered, next_numbers(ctx.session, "Q", len(unnumbered)), strict=True):
        quote.number = number
    for change in changes:
        quote = cast(Quote, change.record)
        if ctx.op == "create":
            quote.rounding = quote.rounding or ctx.session.settings(Settings).rounding
            if quote.net is None and len(quote.currency) == 3:
                quote.net = quote.tax = quote.total = Money.zero(quote.currency)
        if "status" in change.fields and quote.status is QuoteStatus.SENT:
            quote.sent_at = now
        if "status" in change.fields and quote.status is QuoteStatus.ACCEPTED:
            quote.accepted_at = now
    return changes


@plugin.hook(check_write, on=Quote)
def check_quotes(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse changes of what was sent, moves a quote cannot make, and another rounding or currency than it began with."""
    today = ctx.session.crm.runtime.clock.now().date()
    for change in changes:
        quote, old = cast(Quote, change.record), cast("Quote | None", change.old)
        if old is None:
            if quote.status is not QuoteStatus.DRAFT:
                ctx.refuse(change, "sales.quote_move", field="status", old="", new=quote.status.value)
            continue
        if old.status is not QuoteStatus.DRAFT and not change.fields <= _CHANGEABLE:
            ctx.refuse(change, "sales.quote_sent", number=quote.number, status=old.status.value)
        elif change.fields & _FIXED:
            ctx.refuse(change, "sales.quote_fixed", field=sorted(change.fields & _FIXED)[0], number=quote.number)
        if "status" in change.fields and quote.status not in _NEXT.get(old.status, ()):
            ctx.refuse(change, "sales.quote_move", field="status", old=old.status.value, new=quote.status.value)
        elif "status" in change.fields and quote.status is QuoteStatus.ACCEPTED and quote.valid_until and quote.valid_until < today:
            ctx.refuse(change, "sales.quote_expired", field="status", number=quote.number, day=str(quote.valid_until))


@plugin.hook(after_write, on=Quote)
def tell_accepted(ctx: WriteCtx, changes: list[Change]) -> None:
    """Tell of accepted quotes."""
    moved = [cast(Quote, c.record) for c in changes if "status" in c.fields]
    ctx.session.emit(*(QuoteAccepted(record=q.ref, account=q.account) for q in moved if q.status is QuoteStatus.ACCEPTED))


# What people do with quotes


@attrs.frozen
class LineDraft:
    """A line to be: of a product, or described in words with a price of its own."""

    product: Ref[Product] | None = None
    quantity: Decimal = Decimal(1)
    discount: Decimal = Decimal(0)
    description: str = ""
    price: Money | None = None
    tax: Decimal | None = None


def make_quote(
    session: Session,
    deal: Opportunity | Ref[Opportunity],
    lines: Sequence[LineDraft],
    *,
    rounding: Rounding | None = None,
    valid_until: date | None = None,
    book: Ref[PriceBook] | None = None,
) -> Quote:
    """Make a draft of a quote for a deal, in the deal's currency.

    Raises:
        Refused: ``sales.account_missing``: nobody knows whose deal it is; ``sales.price_missing``; a discount is refused.
    """
    current = session.get(Opportunity, deal.id)
    if current.account is None:
        raise Refused("sales.account_missing", deal=current.name)
    with session.savepoint():
        made = session.create(
            Quote(
                account=current.account, opportunity=current.ref, contact=current.contact, owner=current.owner,
                currency=current.amount.currency, rounding=rounding, valid_until=valid_until, book=book,
            )
        )  # fmt: skip
        session.create_many(QuoteLine(quote=made.ref, position=n, **attrs.asdict(d, recurse=False)) for n, d in enumerate(lines))
    return session.get(Quote, made.id)


def lines_of(session: Session, quote: Quote | Ref[Quote]) -> list[QuoteLine]:
    """Return a quote's lines in order."""
    return session.query(QuoteLine).where(QuoteLine.quote == Ref(Quote, quote.id)).order_by(QuoteLine.position).all()


def move_quote(session: Session, quote: Quote | Ref[Quote], status: QuoteStatus) -> Quote:
    """Send, accept, decline or let expire; a quote that is there already stays as it is.

    Raises:
        Refused: ``sales.quote_move``, ``sales.quote_expired``; ``sales.quote_empty``: there is nothing to send.
    """
    current = session.get(Quote, quote.id)
    if current.status is status:
        return current
    if status is QuoteStatus.SENT and not lines_of(session, current):
        raise Refused("sales.quote_empty", number=current.number)
    return session.update(Quote, current.id, {"status": status}, version=None if isinstance(quote, Ref) else quote.version)


def revise(session: Session, quote: Quote | Ref[Quote]) -> Quote:
    """Make the next version of a quote as a draft with the same lines; the old one stays, superseded."""
    old = session.get(Quote, quote.id)
    with session.savepoint():
        session.update(Quote, old.id, {"status": QuoteStatus.SUPERSEDED})
        with session.elevated("next version of a quote") as elevated:
            made = elevated.create(
                Quote(
                    account=old.account, opportunity=old.opportunity, contact=old.contact, owner=old.owner, currency=old.currency,
                    book=old.book, rounding=old.rounding, terms=old.terms, number=old.number, revision=old.revision + 1, previous=old.ref,
                )
            )  # fmt: skip
        kept = ("position", "product", "description", "quantity", "price", "discount", "tax")
        session.create_many(QuoteLine(quote=made.ref, **{n: getattr(line, n) for n in kept}) for line in lines_of(session, old))
    return session.get(Quote, made.id)
