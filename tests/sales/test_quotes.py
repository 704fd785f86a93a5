"""Quotes: priced through hooks, one rounding policy, unchangeable once sent, revised as a new version [C17]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import attrs
import pytest
from sqlalchemy import select

from crm_core import (
    CRM,
    Account,
    Actor,
    CRMError,
    Extension,
    Field,
    Invalid,
    Money,
    Plugin,
    Ref,
    Refused,
    Role,
    Session,
    field,
)
from crm_sales.api import (
    AcceptQuote,
    DiscountCheck,
    LineDraft,
    Opportunity,
    PriceContext,
    PriceLine,
    Product,
    Quote,
    QuoteLine,
    QuoteStatus,
    Rounding,
    Sales,
    SendQuote,
    check_discount,
    price_lines,
)
from tests.sales.desk import BOSS, PLAIN, at_once, deal, journal, rep

EUR_100 = Money(100, "EUR")


def golden(s: Session, rounding: Rounding = Rounding.LINE) -> Quote:
    """The quote of [G9]: 10 x 30.75 less 5 %, 1 x 70.00 less 5 %, tax 15 %."""
    bolts = LineDraft(description="Bolts", quantity=Decimal(10), price=Money("30.75", "EUR"), discount=Decimal(5), tax=Decimal(15))
    delivery = LineDraft(description="Delivery", price=Money("70.00", "EUR"), discount=Decimal(5), tax=Decimal(15))
    return s.use(Sales).quote(deal(s), [bolts, delivery], rounding=rounding)


def lines_of(s: Session, quote: Quote) -> list[QuoteLine]:
    return s.query(QuoteLine).where(QuoteLine.quote == quote.ref).order_by(QuoteLine.position).all()


@pytest.mark.parametrize(("rounding", "tax", "total"), [(Rounding.LINE, "53.80", "412.43"), (Rounding.DOCUMENT, "53.79", "412.42")])
def test_a_quote_says_the_same_in_form_list_and_order(crm: CRM, rounding: Rounding, tax: str, total: str) -> None:
    """[G9, C17] odoo 177192 shows 53.80 in the form and 53.79 in the list."""
    with crm.session(rep("A")) as s:
        made = golden(s, rounding)
        order = s.use(Sales).order(s.use(Sales).accept(s.use(Sales).send(made)))
        listed = s.execute(select(Quote.net, Quote.tax, Quote.total).where(Quote.id == made.id)).one()
        expected = (Money("358.63", "EUR"), Money(tax, "EUR"), Money(total, "EUR"))
        assert (made.net, made.tax, made.total) == tuple(listed) == (order.net, order.tax, order.total) == expected
        assert Money.sum((line.net for line in lines_of(s, made) if line.net), "EUR") == made.net


def test_totals_follow_the_lines_of_a_draft(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        quote = golden(s)
        first, second = lines_of(s, quote)
        s.update(QuoteLine, first.id, {"quantity": Decimal(20)})
        assert s.get(Quote, quote.id).net == Money("650.75", "EUR")
        s.delete(second)
        assert s.get(Quote, quote.id).net == Money("584.25", "EUR")
        s.delete(first)
        assert s.get(Quote, quote.id).total == Money.zero("EUR")


def test_lines_added_at_the_same_time_are_all_in_the_total(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        quote = s.use(Sales).quote(deal(s), [LineDraft(description="first", price=EUR_100)])
    at_once(crm, lambda s: s.create(QuoteLine(quote=quote.ref, description="more", price=EUR_100)), times=8)
    with crm.session(BOSS) as s:
        assert s.get(Quote, quote.id).net == Money(900, "EUR")


Change = Callable[[Session, Quote], object]
CHANGES: dict[str, Change] = {
    "terms": lambda s, q: s.update(Quote, q.id, {"terms": "other"}),
    "a line's quantity": lambda s, q: s.update(QuoteLine, lines_of(s, q)[0].id, {"quantity": "2"}),
    "another line": lambda s, q: s.create(QuoteLine(quote=q.ref, description="x", price=EUR_100)),
    "a line less": lambda s, q: s.delete(lines_of(s, q)[0]),
    "back to draft": lambda s, q: s.update(Quote, q.id, {"status": QuoteStatus.DRAFT}),
    "lines of all": lambda s, q: s.update_where(s.query(QuoteLine), {"discount": Decimal(50)}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_sent_does_not_change(crm: CRM, change: str) -> None:
    """[C17]"""
    with crm.session(BOSS) as s:
        quote = s.use(Sales).send(golden(s))
    with crm.session(BOSS) as s, pytest.raises(Refused, match=r"sales\.quote_sent|sales\.quote_fixed|sales\.quote_move"):
        CHANGES[change](s, quote)
    with crm.session(BOSS) as s:
        assert s.get(Quote, quote.id) == quote


def test_a_revision_is_a_new_version_of_the_same_number(crm: CRM) -> None:
    """[C17]"""
    with crm.session(rep("A")) as s:
        first = s.use(Sales).send(golden(s))
        second = s.use(Sales).revise(first)
        assert (second.number, second.revision, second.previous, second.status) == (first.number, 2, first.ref, QuoteStatus.DRAFT)
        assert (second.net, second.tax, second.rounding) == (first.net, first.tax, first.rounding)
        old = s.get(Quote, first.id)
        assert (old.status, old.total) == (QuoteStatus.SUPERSEDED, first.total)
        with pytest.raises(Refused, match=r"sales\.quote_move"):
            s.use(Sales).accept(old.ref)


def test_numbers_of_quotes_count_up(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        assert [golden(s).number for _ in range(3)] == ["Q-00001", "Q-00002", "Q-00003"]


def test_currency_and_rounding_stay(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        quote = golden(s)
        for changes in ({"rounding": "document"}, {"currency": "USD"}):
            with pytest.raises(Refused, match=r"sales\.quote_fixed"):
                s.update(Quote, quote.id, changes)
        with pytest.raises(Invalid):
            s.update(Quote, quote.id, {"total": {"amount": "1", "currency": "EUR"}})
        with pytest.raises(Refused, match=r"sales\.other_currency"):
            s.create(QuoteLine(quote=quote.ref, price=Money(1, "USD")))


def test_an_expired_quote_is_not_accepted(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        sales = s.use(Sales)
        late = sales.send(sales.quote(deal(s), [LineDraft(price=EUR_100)], valid_until=date(2026, 5, 3)))
        with pytest.raises(Refused, match=r"sales\.quote_expired"):
            sales.accept(late)
        good = sales.send(sales.quote(deal(s, "b"), [LineDraft(price=EUR_100)], valid_until=date(2026, 5, 4)))
        assert sales.accept(sales.accept(good).ref).status is QuoteStatus.ACCEPTED
    assert journal(crm, "sales.quote_accepted.v1") == 1


def test_an_empty_quote_and_one_for_nobody_are_not_made(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        sales = s.use(Sales)
        with pytest.raises(Refused) as empty:
            sales.send(sales.quote(deal(s), []))
        with pytest.raises(Refused) as nobody:
            sales.quote(deal(s, account=None), [])
    assert (empty.value.code, nobody.value.code) == ("sales.quote_empty", "sales.account_missing")


def test_a_quote_whose_line_has_no_price_leaves_nothing(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        d = deal(s)
        with pytest.raises(Refused, match=r"sales\.price_missing"):
            s.use(Sales).quote(d, [LineDraft(description="?")])
        assert s.query(Quote).count() == 0


def test_the_actions_do_the_same(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        quote = s.perform(SendQuote(golden(s).ref))
        assert s.perform(AcceptQuote(quote.ref)).status is QuoteStatus.ACCEPTED


def test_another_reps_quote_and_its_lines_are_not_there(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        quote = golden(s)
    with crm.session(rep("D")) as s:
        assert (s.find(Quote, quote.id), s.query(QuoteLine).count()) == (None, 0)
        with pytest.raises(CRMError):
            s.create(QuoteLine(quote=quote.ref, price=EUR_100))
    with crm.session(rep("L")) as s:
        assert s.query(QuoteLine).count() == 2


def test_a_hosts_role_that_knows_no_prices_can_still_quote(make_crm: Any) -> None:
    seller = Role("seller").allow(Account, "read", "create")
    for entity in (Opportunity, Quote, QuoteLine):
        seller.allow(entity, "read", "create", "update")
    crm = make_crm(plugins=[PLAIN], roles=[seller])
    with crm.session(BOSS) as s:
        bolt = s.create(Product(name="Bolt", list_price=EUR_100, tax=Decimal(15)))
        d = deal(s, owner="A")
    with crm.session(Actor("A", roles={"seller"})) as s, pytest.raises(Invalid):
        s.use(Sales).quote(d, [LineDraft(product=bolt.ref)])  # a product that the seller may not read does not exist for them
    with crm.session(Actor("A", roles={"seller"})) as s:
        assert s.use(Sales).quote(d, [LineDraft(price=EUR_100)]).net == EUR_100


# A vendor takes part in prices, as its handbook says


@attrs.define
class LoyaltySettings:
    blocked_tiers: list[str] = attrs.Factory(list)


loyalty = Plugin("acme.rebates", version="1.2.0", requires={"sales": ">=1,<2"}, settings=LoyaltySettings)
loyalty.grants("account:read")
calls: list[int] = []


@loyalty.extend(Account)
class Loyalty(Extension):
    tier: Field[str] = field(default="basic")


@loyalty.hook(price_lines, after="sales.discounts")
def loyalty_discount(ctx: PriceContext, lines: list[PriceLine]) -> list[PriceLine]:
    calls.append(len(lines))
    accounts = {a.id: a for a in ctx.session.get_many(Account, [line.account.id for line in lines])}
    for line in lines:
        if accounts[line.account.id][Loyalty].tier == "gold":
            line.unit_price = line.unit_price * Decimal("0.95")
    return lines


@loyalty.hook(check_discount)
def no_discount_for_blocked(ctx: DiscountCheck, lines: list[PriceLine]) -> None:
    blocked = ctx.session.settings(LoyaltySettings).blocked_tiers
    for line in lines:
        if ctx.session.get(Account, line.account)[Loyalty].tier in blocked and line.unit_price < line.list_price:
            ctx.refuse(line, "acme.rebates.blocked", tiers=blocked)


def tiered(s: Session, tier: str) -> Ref[Account]:
    account = Account(name=tier)
    account[Loyalty].tier = tier
    return s.create(account).ref


LOYALTY = loyalty.configured(blocked_tiers=["black"])


def test_a_vendors_discount_comes_after_ours_once_for_the_batch(make_crm: Any) -> None:
    """[C17]"""
    crm = make_crm(plugins=[PLAIN, LOYALTY])
    with crm.session(BOSS) as s:
        calls.clear()
        drafts = [LineDraft(price=EUR_100, discount=Decimal(10)), LineDraft(price=Money(200, "EUR"))]
        quote = s.use(Sales).quote(deal(s, account=tiered(s, "gold")), drafts)
        assert [line.unit_price for line in lines_of(s, quote)] == [Money("85.50", "EUR"), Money(190, "EUR")]
        assert calls == [2]
        s.update(QuoteLine, lines_of(s, quote)[0].id, {"quantity": Decimal(2)})
        assert s.get(Quote, quote.id).net == Money(361, "EUR")


def test_a_vendors_refusal_names_the_line_and_the_plugin(make_crm: Any) -> None:
    """[C17]"""
    crm = make_crm(plugins=[PLAIN, LOYALTY])
    with crm.session(BOSS) as s:
        d = deal(s, account=tiered(s, "black"))
        drafts = [LineDraft(price=EUR_100), LineDraft(price=EUR_100, discount=Decimal(1))]
        with pytest.raises(Refused) as refused:
            s.use(Sales).quote(d, drafts)
        (detail,) = refused.value.details
        assert (detail.code, detail.params["plugin"], detail.row) == ("acme.rebates.blocked", "acme.rebates", 1)
        assert s.query(Quote).count() == 0
