"""Grades that explain themselves, their history, and overrides with an owner and an end [C05]."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_analytics import plugin
from crm_analytics.api import AccountGrade, Analytics, GradeChange, OverrideGrade, RegradeCustomers, Settings
from crm_analytics.rfm import Purchases, scores
from crm_core import CRM, Account, Actor, Denied, ExchangeRate, FixedClock, Invalid, MixedCurrency, Money, Ref, Refused, Role, Runtime
from tests.analytics import shop

DAY = date(2026, 3, 2)
ANALYST = Actor("1", roles={"analytics.analyst", "buyer"})
VIEWER = Actor("2", roles={"analytics.viewer"})
BUYER = Role("buyer").allow(Account, "read", "create", "update", "delete").allow(shop.Purchase, "read", "create", "update", "delete")
BUYER.allow(ExchangeRate, "read", "create")


@attrs.define
class World:
    """A shop with a clock."""

    crm: CRM
    clock: FixedClock

    def buy(self, name: str, *amounts: int, on: date = DAY, currency: str = "EUR") -> Ref[Account]:
        """Make an account that buys."""
        with self.crm.session(ANALYST) as s:
            account = s.query(Account).where(Account.name == name).first() or s.create(Account(name=name))
            s.create_many(shop.Purchase(account=account.ref, on=on, amount=Money(a, currency)) for a in amounts)
            return account.ref

    def regrade(self) -> int:
        with self.crm.session(ANALYST) as s:
            written: int = s.perform(RegradeCustomers())
            return written

    def say(self, account: Ref[Account]) -> tuple[str | None, str]:
        with self.crm.session(VIEWER, write=False) as s:
            return s.use(Analytics).grade(account), s.use(Analytics).explain(account)


def made(make_crm: Any, **settings: Any) -> World:
    clock = FixedClock(datetime.fromisoformat("2026-03-02T12:00+00:00"))
    configured = plugin.configured(**{"purchases": "shop.spent", "customer": "shop.account", **settings})
    return World(make_crm(plugins=[shop.plugin, configured], roles=[BUYER], runtime=Runtime.seeded(1, clock=clock)), clock)


@pytest.fixture
def world(make_crm: Any) -> World:
    return made(make_crm)


def test_c05_a_grade_explains_itself(world: World) -> None:
    refs = [world.buy(f"c{n}", *[10 * (n + 1)] * (5 - n), on=DAY - timedelta(days=10 * (5 - n))) for n in range(5)]
    never = world.buy("never")
    assert world.regrade() == 5
    assert [world.say(r) for r in refs] == [
        ("C", "C: R=1 F=5 M=1"),
        ("B", "B: R=2 F=4 M=3"),
        ("B", "B: R=3 F=3 M=5"),
        ("B", "B: R=4 F=2 M=3"),
        ("C", "C: R=5 F=1 M=1"),
    ]
    assert world.say(never) == (None, "no purchases")


def test_c05_a_run_without_news_writes_nothing_and_news_change_only_what_they_touch(world: World) -> None:
    a, b = world.buy("a", 10), world.buy("b", 20)
    assert (world.regrade(), world.regrade()) == (2, 0)
    world.buy("b", 5)
    assert world.regrade() == 1
    with world.crm.session(ANALYST) as s:
        for purchase in s.query(shop.Purchase).where(shop.Purchase.account == a).all():
            s.delete(purchase)
    assert world.regrade() == 2  # a has no purchases any more, and b stands alone
    assert world.say(a) == (None, "no purchases")
    assert world.say(b) == ("C", "C: R=1 F=1 M=1")


def test_c05_an_override_has_an_owner_a_reason_and_an_end_after_which_the_grade_counts_again(world: World) -> None:
    account = world.buy("a", 10)
    world.regrade()
    with world.crm.session(ANALYST) as s:
        s.perform(OverrideGrade(account, "A", DAY + timedelta(days=1), "reference customer"))
    assert world.say(account) == ("A", "A: set by 1 until 2026-03-03: reference customer (C: R=1 F=1 M=1)")
    with world.crm.session(VIEWER, write=False) as s:
        kept = s.query(AccountGrade).one()
        assert (kept.override, kept.override_by, kept.override_reason) == ("A", "1", "reference customer")
        assert kept.override_until == DAY + timedelta(days=1)
    assert world.regrade() == 0
    world.clock.advance(timedelta(days=2))
    assert world.say(account) == ("C", "C: R=1 F=1 M=1")
    assert world.regrade() == 1
    with world.crm.session(VIEWER, write=False) as s:
        steps = [(c.before, c.after, c.by, c.why) for c in s.use(Analytics).history(account)]
    assert steps == [
        (None, "C", "1", "C: R=1 F=1 M=1"),
        ("C", "A", "1", "A: set by 1 until 2026-03-03: reference customer (C: R=1 F=1 M=1)"),
        ("A", "C", "1", "C: R=1 F=1 M=1"),
    ]


def test_c05_an_override_that_is_incomplete_or_of_no_grade_is_refused(world: World) -> None:
    account = world.buy("a", 10)
    world.regrade()
    with world.crm.session(ANALYST) as s:
        for grade, reason, code in (("A", "", "analytics.override_incomplete"), ("Z", "why not", "analytics.unknown_grade")):
            with pytest.raises(Refused, match=code):
                s.perform(OverrideGrade(account, grade, DAY, reason))
    assert world.say(account)[0] == "C"


def test_c05_who_only_reads_grades_neither_overrides_nor_regrades_nor_writes_history(world: World) -> None:
    account = world.buy("a", 10)
    world.regrade()
    with world.crm.session(VIEWER) as s:
        for command in (OverrideGrade(account, "A", DAY, "mine"), RegradeCustomers()):
            with pytest.raises(Denied):
                s.perform(command)
    with world.crm.session(ANALYST) as s, pytest.raises(Invalid, match="set by the system"):
        s.create(GradeChange(account=account, at=world.clock.now(), by="1", before=None, after="A", why="forged"))


def test_c05_the_panel_shows_the_grade_beside_the_customer_and_nothing_to_who_may_not_see_it(world: World) -> None:
    account = world.buy("a", 10)
    world.regrade()
    with world.crm.session(VIEWER, write=False) as s:
        panel = s.view360(account).panel("analytics.grade_of_account")
        assert panel is not None
        assert panel.data is not None
        shown = panel.data
        assert (shown["grade"], shown["why"], len(shown["history"])) == ("C", "C: R=1 F=1 M=1", 1)
    with world.crm.session(Actor("3", roles={"buyer"}), write=False) as s:
        assert s.view360(account).panel("analytics.grade_of_account") is None


def test_c05_purchases_in_unlike_currencies_are_refused_unless_a_currency_is_named(make_crm: Any) -> None:
    world = made(make_crm)
    world.buy("a", 10)
    world.buy("b", 10, currency="USD")
    with pytest.raises(MixedCurrency):
        world.regrade()
    with world.crm.session(ANALYST) as s:
        assert s.query(AccountGrade).count() == 0
        s.create(ExchangeRate(base="USD", quote="EUR", valid_from=DAY, rate=Decimal("0.5")))
        s.change_settings(Settings, {"grade_currency": "EUR"})
    assert world.regrade() == 2
    with world.crm.session(ANALYST, write=False) as s:
        assert sorted(g.spent.amount for g in s.query(AccountGrade).all() if g.spent) == [5, 10]


@pytest.mark.parametrize("settings", [{"purchases": ""}, {"purchases": "shop.purchases"}])
def test_c05_what_is_no_measure_of_amounts_is_named(make_crm: Any, settings: dict[str, str]) -> None:
    world = made(make_crm, **settings)
    with pytest.raises(Invalid) as caught:
        world.regrade()
    assert caught.value.code == "analytics.no_purchases"


def test_c05_what_a_grade_takes_is_a_setting_of_the_tenant_that_analysts_change(world: World) -> None:
    account = world.buy("a", 10)
    with world.crm.session(VIEWER) as s, pytest.raises(Denied):
        s.change_settings(Settings, {"grades": {"gold": 3}})
    with world.crm.session(ANALYST) as s:
        s.change_settings(Settings, {"grades": {"gold": 3, "iron": 0}})
    world.regrade()
    assert world.say(account) == ("gold", "gold: R=1 F=1 M=1")
    permissions = world.crm.policies.resolve(ANALYST).permits
    assert [permissions(p) for p in ("analytics.grade", "analytics.rebuild", "analytics.settings", "core.rollups")] == [
        True,
        True,
        True,
        False,
    ]


CUSTOMERS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 99)), min_size=1, max_size=40)


def customers(given: Iterable[tuple[int, int, int]]) -> list[Purchases]:
    return [Purchases(str(n), DAY - timedelta(days=d), count, Money(spent, "EUR")) for n, (d, count, spent) in enumerate(given)]


@given(CUSTOMERS, st.randoms(use_true_random=False))
def test_c05_scores_do_not_depend_on_the_order_and_better_never_scores_worse(facts: list[tuple[int, int, int]], chance: Any) -> None:
    ordered = customers(facts)
    shuffled = ordered.copy()
    chance.shuffle(shuffled)
    found = scores(ordered)
    assert scores(shuffled) == found
    for a in ordered:
        for b in ordered:
            if a.spent > b.spent:
                assert found[a.customer].monetary >= found[b.customer].monetary
            if a.last_on == b.last_on:
                assert found[a.customer].recency == found[b.customer].recency
    assert all(1 <= s <= 5 for f in found.values() for s in (f.recency, f.frequency, f.monetary))
