"""Products and what they cost: price books, quantity breaks, validity, and why a price is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal

import attrs

from crm_core import Entity, Field, Money, MoneyField, OptionalMoneyField, Ref, Session, field

from .pipeline import reference
from .plugin import plugin


class Product(Entity):
    """Something we sell. ``tax`` is the usual tax in percent.

    Attributes:
        code: the article number.
        family: the group it belongs to.
        list_price: what it costs where no book says otherwise.
    """

    name: Field[str] = field(unique=True, label="Name", classified="internal")
    code: Field[str | None] = field(default=None, unique=True, length=60)
    family: Field[str | None] = field(default=None, length=100)
    list_price: OptionalMoneyField = field(default=None)
    tax: Field[Decimal] = field(default=Decimal(0), min=0, max=100)
    active: Field[bool] = field(default=True)
    external_ref: Field[str | None] = field(default=None, unique=True)


class PriceBook(Entity):
    """A list of prices for some customers. The standard one is asked where the chosen one is silent.

    Attributes:
        standard: whether it is asked where the chosen one is silent.
    """

    name: Field[str] = field(unique=True, classified="internal")
    standard: Field[bool] = field(default=False)


class PriceBookEntry(Entity):
    """A price of a product from a quantity on, from day to day (both inclusive).

    Attributes:
        book: the list it stands in.
        min_quantity: from how many on it holds.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("product", "book"),)

    book: Field[Ref[PriceBook]] = field(on_delete="cascade")
    product: Field[Ref[Product]] = field(on_delete="cascade")
    price: MoneyField = field()
    min_quantity: Field[Decimal] = field(default=Decimal(0), min=0)
    valid_from: Field[date | None] = field(default=None)
    valid_to: Field[date | None] = field(default=None)


plugin.entities(Product, PriceBook, PriceBookEntry)

Source = Literal["book", "standard_book", "list_price", "none"]


@attrs.frozen
class PriceAnswer:
    """A price and where it comes from.

    Attributes:
        price: None where nobody knows one.
        source: the rule that gave it.
        entry: the price book's entry, where one did.
        trace: the rules asked, in order, each with what it answered.
    """

    price: Money | None
    source: Source
    entry: Ref[PriceBookEntry] | None
    trace: tuple[str, ...]


@attrs.frozen
class Asked:
    """Which price is wanted: of a product, for so many, on a day, in a currency, from a book."""

    product: Ref[Product]
    quantity: Decimal
    on: date
    currency: str
    book: Ref[PriceBook] | None = None


def best_entry(entries: Sequence[PriceBookEntry], asked: Asked) -> PriceBookEntry | None:
    """Pick the entry that fits: the highest quantity break reached; of equals the one that became valid last, then the newest."""
    fitting = [
        e
        for e in entries
        if e.product == asked.product
        and e.price.currency == asked.currency
        and e.min_quantity <= asked.quantity
        and (e.valid_from is None or e.valid_from <= asked.on)
        and (e.valid_to is None or asked.on <= e.valid_to)
    ]
    return max(fitting, key=lambda e: (e.min_quantity, e.valid_from or date.min, e.id), default=None)


def prices(session: Session, wanted: Sequence[Asked]) -> list[PriceAnswer]:
    """Answer what each costs: its book, then the standard book, then the product's list price. Three statements for all of them."""
    with reference(session, Product, PriceBook, PriceBookEntry) as reader:
        products = {p.id: p for p in reader.get_many(Product, [a.product for a in wanted])}
        standard = reader.query(PriceBook).where(PriceBook.standard).order_by(PriceBook.created_at).first()
        asked_books = {a.book.id for a in wanted if a.book} | ({standard.id} if standard else set())
        books = [Ref(PriceBook, id_) for id_ in sorted(asked_books)]
        entries = reader.query(PriceBookEntry).where(PriceBookEntry.product.in_([p.ref for p in products.values()])).all() if books else []
    by_book = {b.id: [e for e in entries if e.book == b] for b in books}
    return [_answer(asked, products.get(asked.product.id), by_book, standard) for asked in wanted]


def _answer(asked: Asked, product: Product | None, by_book: dict[str, list[PriceBookEntry]], standard: PriceBook | None) -> PriceAnswer:
    trace: list[str] = []
    books: list[tuple[Source, Ref[PriceBook] | PriceBook | None]] = [("book", asked.book), ("standard_book", standard)]
    for source, book in books:
        entry = best_entry(by_book.get(book.id, []), asked) if book else None
        if entry is not None:
            return PriceAnswer(entry.price, source, entry.ref, (*trace, f"{source}: {entry.price} from {entry.min_quantity:f}"))
        trace.append(f"{source}: {'no entry fits' if book else 'there is none'}")
    price = product.list_price if product else None
    if price is not None and price.currency == asked.currency:
        return PriceAnswer(price, "list_price", None, (*trace, f"list_price: {price}"))
    return PriceAnswer(None, "none", None, (*trace, f"list_price: {'in ' + price.currency if price else 'none'}"))
