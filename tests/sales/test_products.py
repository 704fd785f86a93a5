"""What products cost, and why."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from crm_core import CRM, Money, Session
from crm_sales.api import Asked, LineDraft, PriceBook, PriceBookEntry, Product, QuoteLine, Sales
from tests.sales.desk import BOSS, deal


def eur(amount: Any) -> Money:
    return Money(amount, "EUR")


def shelf(s: Session) -> tuple[Product, PriceBook]:
    """A product of 10 on the list; 9 in the standard book, 8 from 100; 7 in the partners' book in the summer of 2026."""
    bolt = s.create(Product(name="Bolt", code="B1", family="fasteners", list_price=eur(10), tax=Decimal(15)))
    standard, partners = s.create(PriceBook(name="Standard", standard=True)), s.create(PriceBook(name="Partners"))
    june, august = date(2026, 6, 1), date(2026, 8, 31)
    s.create(PriceBookEntry(book=standard.ref, product=bolt.ref, price=eur(9)))
    s.create(PriceBookEntry(book=standard.ref, product=bolt.ref, price=eur(8), min_quantity=Decimal(100)))
    s.create(PriceBookEntry(book=partners.ref, product=bolt.ref, price=eur(7), valid_from=june, valid_to=august))
    return bolt, partners


CASES = [
    ("no book: the standard one", False, "1", date(2026, 7, 1), "EUR", 9, "standard_book"),
    ("just under the break", False, "99.999999", date(2026, 7, 1), "EUR", 9, "standard_book"),
    ("the break", False, "100", date(2026, 7, 1), "EUR", 8, "standard_book"),
    ("the book's first day", True, "1", date(2026, 6, 1), "EUR", 7, "book"),
    ("the book's last day", True, "100", date(2026, 8, 31), "EUR", 7, "book"),
    ("the day after", True, "1", date(2026, 9, 1), "EUR", 9, "standard_book"),
    ("the day before", True, "1", date(2026, 5, 31), "EUR", 9, "standard_book"),
    ("another currency", True, "1", date(2026, 7, 1), "USD", None, "none"),
]


def test_a_price_comes_from_the_first_rule_that_knows(crm: CRM) -> None:
    """[C17] Both days of a validity count."""
    with crm.session(BOSS) as s:
        bolt, partners = shelf(s)
        wanted = [Asked(bolt.ref, Decimal(c[2]), c[3], c[4], partners.ref if c[1] else None) for c in CASES]
        for (case, _, _, _, _, price, source), answer in zip(CASES, s.use(Sales).prices(wanted), strict=True):
            assert (answer.price, answer.source) == (eur(price) if price else None, source), case
            assert answer.trace[-1].startswith("list_price" if source == "none" else source), case


def test_where_no_book_speaks_the_list_price_counts(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        nut = s.create(Product(name="Nut", list_price=eur(3)))
        (answer,) = s.use(Sales).prices([Asked(nut.ref, Decimal(1), date(2026, 1, 1), "EUR")])
        assert (answer.price, answer.source) == (eur(3), "list_price")
        assert answer.trace == ("book: there is none", "standard_book: there is none", "list_price: EUR 3.00")


def test_a_quotes_line_asks_for_its_price_and_tax(crm: CRM) -> None:
    """[C17]"""
    with crm.session(BOSS) as s:
        bolt, _ = shelf(s)
        quote = s.use(Sales).quote(deal(s), [LineDraft(product=bolt.ref, quantity=Decimal(200))])
        line = s.query(QuoteLine).one()
        assert (line.price, line.tax, line.description, quote.net, quote.tax) == (eur(8), Decimal(15), "Bolt", eur(1600), eur(240))


def test_many_prices_take_three_statements(crm: CRM) -> None:
    from sqlalchemy import event

    with crm.session(BOSS) as s:
        products = s.create_many(Product(name=str(n), list_price=eur(n + 1)) for n in range(50)).ok
        shelf(s)
    statements: list[str] = []
    with crm.session(BOSS) as s:
        listen = (s._unit.connection, "before_cursor_execute", lambda c, cur, sql, *rest: statements.append(sql))
        event.listen(*listen)
        answers = s.use(Sales).prices([Asked(p.ref, Decimal(1), date(2026, 1, 1), "EUR") for p in products])
        event.remove(*listen)
    assert [a.price for a in answers] == [eur(n + 1) for n in range(50)]
    assert len(statements) == 3
