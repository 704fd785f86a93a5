"""The vendor's plugin in a CRM, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import crm_sales
from crm_core import CRM, Account, Actor, Denied, FixedClock, Money, Refused, Role, Runtime, Session
from crm_sales.api import LineDraft, Opportunity, Quote, QuoteLine, Sales
from examples.vendor import Loyalty, PointsEntry, Redeem, Settings, expire, gold, panel, plugin

SYSTEM = Actor.system("test", tenant="main")
REP = Actor("7", roles={"sales.rep"})
NONE, TEN = Decimal(0), Decimal(10)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 5, 4, 9, tzinfo=UTC))


@pytest.fixture
def crm(make_crm: Any, clock: FixedClock) -> CRM:
    cashier = Role("cashier").allow(Account, "read").allow(PointsEntry, "read", "create").permit("acme.loyalty.redeem")
    found: CRM = make_crm(plugins=[crm_sales.plugin, plugin], roles=[cashier], runtime=Runtime.seeded(1, clock=clock))
    return found


def a_customer(crm: CRM, tier: str = "basic") -> Account:
    with crm.session(SYSTEM) as s:
        account = Account(name="Acme", owner="7")
        account[Loyalty].tier = tier
        return s.create(account)


def win(s: Session, account: Account, amount: Money) -> None:
    s.use(Sales).win(s.create(Opportunity(name="100 seats", account=account.ref, amount=amount)), reason="price")


def quoted(s: Session, account: Account, discount: Decimal = NONE) -> Quote:
    deal = s.create(Opportunity(name="100 seats", account=account.ref, amount=Money(1, "EUR")))
    return s.use(Sales).quote(deal, [LineDraft(description="seat", price=Money("100", "EUR"), discount=discount)])


def test_a_won_deal_gives_points_once(crm: CRM) -> None:
    account = a_customer(crm)
    with crm.session(REP) as s:
        win(s, account, Money("12000", "EUR"))
    crm.run_pending()
    crm.run_pending()
    with crm.session(SYSTEM) as s:
        entry = s.query(PointsEntry).one()
        assert (entry.account.id, entry.points) == (account.id, 120)
        assert entry.created_by == "plugin:acme.loyalty"


def test_points_follow_the_settings_of_a_tenant(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        s.change_settings(Settings, {"points_per_unit": "0.5"})
    account = a_customer(crm)
    with crm.session(REP) as s:
        win(s, account, Money("100", "EUR"))
    crm.run_pending()
    with crm.session(SYSTEM) as s:
        assert s.query(PointsEntry).one().points == 50


def test_gold_customers_pay_less_after_every_other_discount(crm: CRM) -> None:
    basic, golden = a_customer(crm), a_customer(crm, "gold")
    with crm.session(REP) as s:
        assert [a.id for a in gold(s)] == [golden.id]
        prices = [s.query(QuoteLine).where(QuoteLine.quote == quoted(s, who, TEN).ref).one().unit_price for who in (basic, golden)]
    assert prices == [Money("90", "EUR"), Money("85.5", "EUR")]


def test_blocked_tiers_get_no_discount_and_are_told_so_in_their_language(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        s.change_settings(Settings, {"blocked_tiers": ["basic"]})
    account = a_customer(crm)
    with crm.session(REP) as s:
        assert quoted(s, account).total == Money("100", "EUR")
        with pytest.raises(Refused) as raised:
            quoted(s, account, TEN)
    (detail,) = raised.value.details
    assert detail.code == "acme.loyalty.blocked"
    assert detail.message("zh_CN", crm.messages) == "basic 级客户不享受折扣。"


def test_points_are_redeemed_by_those_who_may(crm: CRM) -> None:
    account = a_customer(crm)
    with crm.session(Actor("8", roles={"cashier"})) as s:
        s.perform(Redeem(account.ref, 30))
        s.perform(Redeem(account.ref, 20))
        assert panel(s, account) == {"tier": "basic", "balance": -50}
        assert [a.name for a in s.actions(account) if a.allowed] == ["acme.loyalty.redeem"]
    with crm.session(REP) as s:
        assert [(a.label, a.allowed) for a in s.actions(account)] == [("Redeem points", False)]
        with pytest.raises(Denied):
            s.perform(Redeem(account.ref, 1))


def test_old_points_expire(crm: CRM, clock: FixedClock) -> None:
    account = a_customer(crm)
    with crm.session(SYSTEM) as s:
        s.create(PointsEntry(account=account.ref, points=1, source="old"))
        clock.advance(timedelta(days=700))
        s.create(PointsEntry(account=account.ref, points=2, source="new"))
        clock.advance(timedelta(days=31))
        expire(s)
        assert [e.source for e in s.query(PointsEntry).all()] == ["new"]


def test_a_crm_without_the_plugin_has_nothing_of_it(make_crm: Any) -> None:
    crm = make_crm(plugins=[crm_sales.plugin])
    assert "acme_loyalty_tier" not in crm.table(Account).c
    with crm.session(SYSTEM) as s:
        assert "acme_loyalty_tier" not in crm.to_json(s.create(Account(name="Acme")))
