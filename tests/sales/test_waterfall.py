"""The waterfall of the open pipeline: its parts add up exactly [C21]."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_core import CRM, Actor, ExchangeRate, FixedClock, Invalid, Money, Runtime, Session
from crm_sales.api import Opportunity, Sales, Status, Waterfall
from tests.sales.desk import BOSS, PLAIN, START, Desk, deal, rep

WEEK = timedelta(days=7)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def crm(make_crm: Any, clock: FixedClock) -> CRM:
    made: CRM = make_crm(plugins=[PLAIN], directory=Desk(), runtime=Runtime.seeded(7, clock=clock))
    return made


def fall(crm: CRM, since: datetime, until: datetime | None = None, *, currency: str = "EUR", actor: Any = BOSS) -> Waterfall:
    with crm.session(actor, write=False) as s:
        return s.use(Sales).waterfall(since, until, currency=currency)


def euros(found: Waterfall) -> dict[str, Decimal]:
    return {name: worth.amount for name, worth in attrs.asdict(found, recurse=False).items() if worth}


def adds_up(found: Waterfall) -> bool:
    steps = (found.begin, found.new, found.reopened, found.up, found.down, found.won, found.lost)
    return Money.sum(steps, found.end.currency) == found.end


def test_c21_each_deal_is_in_the_part_that_its_life_says(crm: CRM, clock: FixedClock) -> None:
    with crm.session(BOSS) as s:
        sales = s.use(Sales)
        kept, grown, won, lost = (deal(s, name, Money(n, "EUR")) for n, name in enumerate(("kept", "grown", "won", "lost"), 100))
        closed = sales.lose(deal(s, "closed", Money(7, "EUR")), reason="price")
    clock.advance(WEEK)
    with crm.session(BOSS) as s:
        sales = s.use(Sales)
        s.update(Opportunity, grown.id, {"amount": Money(151, "EUR")})
        s.update(Opportunity, won.id, {"amount": Money(90, "EUR")})
        sales.win(won.ref, reason="price")
        sales.lose(lost, reason="price")
        sales.reopen(closed)
        deal(s, "fresh", Money("0.05", "EUR"))
    assert kept.amount == Money(100, "EUR")
    found = fall(crm, START + timedelta(days=1))
    expected = {"begin": "406", "new": "0.05", "reopened": "7", "up": "50", "down": "-12", "won": "-90", "lost": "-103", "end": "258.05"}
    assert euros(found) == {name: Decimal(amount) for name, amount in expected.items()}
    assert adds_up(found)
    assert euros(fall(crm, START - WEEK, START + timedelta(days=1))) == {
        "new": Decimal(413),
        "lost": Decimal(-7),
        "end": Decimal(406),
    }


def test_one_days_rates_hold_throughout_and_a_missing_one_is_an_error(crm: CRM, clock: FixedClock) -> None:
    with crm.session(BOSS) as s:
        s.create(ExchangeRate(base="USD", quote="EUR", valid_from=date(2026, 1, 1), rate=Decimal("0.5")))
        deal(s, "dollars", Money(100, "USD"))
    clock.advance(WEEK)
    with crm.session(BOSS) as s:
        s.create(ExchangeRate(base="USD", quote="EUR", valid_from=clock.now().date(), rate=Decimal("0.8")))
    found = fall(crm, clock.now() - timedelta(days=1))
    assert euros(found) == {"begin": Decimal(80), "end": Decimal(80)}
    with pytest.raises(Invalid) as missing:
        fall(crm, START, currency="BRL")
    assert missing.value.code == "missing_rate"
    assert "USD" in str(missing.value)


def test_a_rep_gets_the_waterfall_of_the_deals_that_the_rep_sees(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        deal(s, "mine", Money(1, "EUR"), owner="A")
        deal(s, "theirs", Money(10, "EUR"), owner="D")
    assert euros(fall(crm, START - WEEK, actor=rep("A"))) == {"new": Decimal(1), "end": Decimal(1)}


MOVES = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["win", "lose", "reopen", "worth"]), st.integers(1, 99_999)), max_size=12)


def test_whatever_happens_the_parts_add_up_to_the_cent(crm: CRM, clock: FixedClock) -> None:
    company = count()

    @settings(max_examples=20, deadline=None)
    @given(moves=MOVES, cut=st.integers(0, 6), length=st.integers(0, 8))
    def check(moves: list[tuple[int, str, int]], cut: int, length: int) -> None:
        boss, begin = Actor.system("tests", tenant=f"company-{next(company)}"), clock.now()
        with crm.session(boss) as s:
            deals = [deal(s, str(n), Money(n + 1, "EUR")).ref for n in range(4)]
        for n, what, cents in moves:
            clock.advance(timedelta(hours=1))
            with crm.session(boss) as s:
                _happen(s, s.get(Opportunity, deals[n]), what, cents)
        clock.advance(timedelta(days=1))
        since = begin + timedelta(hours=cut)
        assert adds_up(fall(crm, since, since + timedelta(hours=length), actor=boss))
        found = fall(crm, since, actor=boss)
        assert adds_up(found)
        with crm.session(boss, write=False) as s:
            current = s.query(Opportunity).where(Opportunity.status == Status.OPEN).all()
        assert found.end == Money.sum((d.amount for d in current), "EUR")

    check()


def _happen(s: Session, current: Opportunity, what: str, cents: int) -> None:
    sales = s.use(Sales)
    if what == "worth":
        s.update(Opportunity, current.id, {"amount": Money(Decimal(cents).scaleb(-2), "EUR")})
    elif what == "reopen" and current.status is not Status.OPEN:
        sales.reopen(current)
    elif what == "win":
        sales.win(current, reason="price")
    elif what == "lose":
        sales.lose(current, reason="price")
