"""Deals: stages with their history, won and lost with a reason, reopened; the same whichever way they are written [C14]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from crm_core import CRM, Account, Conflict, CRMError, ExchangeRate, FixedClock, Invalid, Money, Refused, Session
from crm_sales.api import (
    Forecast,
    Lose,
    Move,
    Opportunity,
    Pipeline,
    Reopen,
    Sales,
    Settings,
    Stage,
    StageDraft,
    StageHistory,
    Status,
    Win,
)
from tests.sales.desk import BOSS, at_once, deal, journal, rep

EUR = Money("12000", "EUR")


def moves(s: Session, d: Opportunity) -> list[tuple[str | None, str]]:
    found = s.query(StageHistory).where(StageHistory.opportunity == d.ref).order_by(StageHistory.at).all()
    return [(m.from_stage, m.to_stage) for m in found]


def test_a_new_deal_enters_the_main_pipeline(crm: CRM) -> None:
    """[C14] A tenant without pipelines gets one at its first deal."""
    with crm.session(rep("A")) as s:
        d = deal(s)
        assert (d.stage, d.status, d.probability, d.forecast) == ("new", Status.OPEN, 10, Forecast.PIPELINE)
        assert moves(s, d) == [(None, "new")]


def test_pipelines_are_made_once_when_many_begin_at_once(crm: CRM) -> None:
    at_once(crm, deal, times=6)
    with crm.session(BOSS) as s:
        assert (s.query(Pipeline).count(), s.query(Stage).count()) == (1, 7)


Way = Callable[[Session, Opportunity, dict[str, Any]], object]


def save(s: Session, d: Opportunity, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(d, name, value)
    s.save(d)


def upsert(s: Session, d: Opportunity, changes: dict[str, Any]) -> None:
    same = Opportunity(name=d.name, account=d.account, amount=d.amount, external_ref=d.external_ref, **changes)
    s.upsert(same, on="external_ref")


WAYS: dict[str, Way] = {
    "update": lambda s, d, c: s.update(Opportunity, d.id, c),
    "save": save,
    "update_where": lambda s, d, c: s.update_where(s.query(Opportunity).where(Opportunity.id == d.id), c),
    "upsert": upsert,
    "service": lambda s, d, c: s.use(Sales).win(d, reason=c["won_reason"]),
    "action": lambda s, d, c: s.perform(Win(d.ref, c["won_reason"])),
}


@pytest.mark.parametrize("way", WAYS)
def test_winning_has_the_same_effects_by_every_way(crm: CRM, way: str) -> None:
    """[C14] History with the amount then, one event, the day, and the probability."""
    with crm.session(rep("A")) as s:
        d = deal(s, amount=EUR, external_ref="x:1")
        WAYS[way](s, d, {"stage": "won", "won_reason": "price"})
        won = s.get(Opportunity, d.id)
        assert (won.status, won.probability, won.won_reason, won.forecast) == (Status.WON, 100, "price", Forecast.CLOSED)
        assert won.closed_on == date(2026, 5, 4)
        (last,) = s.query(StageHistory).where(StageHistory.to_stage == "won").all()
        assert (last.from_stage, last.by, last.amount, last.reason, last.opportunity) == ("new", "A", EUR, "price", d.ref)
    assert journal(crm, "sales.opportunity_won.v1") == 1


@pytest.mark.parametrize("way", [w for w in WAYS if w != "service"])
def test_no_way_wins_without_a_reason(crm: CRM, way: str) -> None:
    """[C14]"""
    with crm.session(rep("A")) as s:
        d = deal(s, external_ref="x:1")
    for reason in (None, "", "  "):
        with crm.session(rep("A")) as s, pytest.raises((Refused, Invalid)):
            WAYS[way](s, s.get(Opportunity, d.id), {"stage": "won", "won_reason": reason})
    with crm.session(rep("A")) as s:
        assert s.get(Opportunity, d.id).stage == "new"
    assert journal(crm, "sales.opportunity_won.v1") == 0


def test_a_deal_born_lost_needs_a_reason_too(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        with pytest.raises(Refused, match=r"sales\.reason_missing"):
            deal(s, stage="lost")
        assert deal(s, stage="lost", lost_reason="price").status is Status.LOST


def test_a_stage_that_the_pipeline_does_not_have_is_refused_with_those_it_has(crm: CRM) -> None:
    with crm.session(rep("A")) as s, pytest.raises(Refused) as refused:
        deal(s, stage="wno")
    (detail,) = refused.value.details
    assert detail.code == "sales.unknown_stage"
    assert "won" in detail.params["known"]


def test_reopening_keeps_the_history(crm: CRM) -> None:
    """[C14]"""
    with crm.session(rep("A")) as s:
        sales = s.use(Sales)
        d = sales.move(deal(s), "proposal")
        lost = sales.lose(d, reason="price")
        again = sales.reopen(lost)
        assert (again.stage, again.status, again.closed_at, again.lost_reason) == ("proposal", Status.OPEN, None, None)
        assert moves(s, d) == [(None, "new"), ("new", "proposal"), ("proposal", "lost"), ("lost", "proposal")]
        with pytest.raises(Refused, match=r"sales\.not_closed"):
            sales.reopen(again)
    assert journal(crm, "sales.opportunity_reopened.v1") == 1


def test_history_has_the_amount_of_each_moment(crm: CRM) -> None:
    """[C14]"""
    with crm.session(rep("A")) as s:
        d = deal(s, amount=Money(100, "EUR"))
        s.update(Opportunity, d.id, {"amount": Money(250, "EUR")})
        s.use(Sales).move(d.ref, "proposal")
        found = s.query(StageHistory).where(StageHistory.opportunity == d.ref).order_by(StageHistory.at).all()
        assert [m.amount.amount for m in found] == [100, 250]


def test_nobody_writes_history_by_hand(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        d = deal(s)
        (move,) = s.query(StageHistory).where(StageHistory.opportunity == d.ref).all()
        with pytest.raises(CRMError):
            s.update(StageHistory, move.id, {"to_stage": "won"})


def test_what_the_pipeline_sets_cannot_be_set_by_hand(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        d = deal(s)
        for name, value in (("status", "won"), ("closed_on", "2020-01-01"), ("amount_base", {"amount": "1", "currency": "EUR"})):
            with pytest.raises(Invalid):
                s.update(Opportunity, d.id, {name: value})


def test_winning_twice_is_winning_once(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        d = deal(s)
        assert s.use(Sales).win(s.use(Sales).win(d, reason="price"), reason="again").won_reason == "price"
    at_once(crm, lambda s: s.use(Sales).win(d.ref, reason="again"), times=6)
    assert journal(crm, "sales.opportunity_won.v1") == 1


def test_many_who_win_a_deal_at_once_win_it_once(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        d = deal(s)
    at_once(crm, lambda s: s.use(Sales).win(d.ref, reason="price"), times=6)
    assert journal(crm, "sales.opportunity_won.v1") == 1


def test_a_stale_deal_is_not_won(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        d = deal(s)
        s.update(Opportunity, d.id, {"name": "Other"})
        with pytest.raises(Conflict):
            s.use(Sales).win(d, reason="price")


def test_the_actions_do_the_same(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        d = deal(s)
        assert s.perform(Move(d.ref, "proposal")).stage == "proposal"
        assert s.perform(Lose(d.ref, "price")).status is Status.LOST
        assert s.perform(Reopen(d.ref, "negotiation")).probability == 80
        assert [a.name for a in s.actions(d) if a.allowed] == ["sales.win", "sales.lose", "sales.move", "sales.reopen"]


def test_a_tenant_has_pipelines_of_its_own(crm: CRM) -> None:
    """[C14] Pipelines are data."""
    with crm.session(BOSS) as s:
        sales = s.use(Sales)
        sales.setup()
        drafts = [StageDraft("offer", "Offer", 30), StageDraft("signed", "Signed", 100, Status.WON)]
        renewals = sales.make_pipeline("renewals", "Renewals", drafts)
        d = deal(s, pipeline="renewals", stage="offer")
        assert d.probability == 30
        assert sales.win(d, reason="habit").stage == "signed"
        with pytest.raises(Refused, match=r"sales\.unknown_stage"):
            deal(s, "other", pipeline="renewals")
        with pytest.raises(Refused, match=r"sales\.unknown_stage"):
            deal(s, "other", pipeline="nowhere")
        with pytest.raises(Refused, match=r"sales\.pipeline_in_use"):
            s.update(Pipeline, renewals, {"key": "again"})
        sales.make_pipeline("endless", "Endless", drafts[:1])
        with pytest.raises(Refused, match=r"sales\.no_such_stage"):
            sales.win(deal(s, "third", pipeline="endless", stage="offer"), reason="habit")


def test_open_deals_follow_their_stage_and_closed_ones_do_not(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        kept, moved, own = deal(s, "a"), deal(s, "b"), deal(s, "c", probability=55)
        s.use(Sales).win(kept, reason="price")
        stage = s.query(Stage).where(Stage.key == "new").one()
        s.update(Stage, stage.id, {"probability": 15})
        s.update(Stage, s.query(Stage).where(Stage.key == "won").one().id, {"probability": 99})
        assert [s.get(Opportunity, d.id).probability for d in (kept, moved, own)] == [100, 15, 55]


def test_a_stage_with_deals_in_it_stays(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        deal(s)
        new, proposal = (s.query(Stage).where(Stage.key == key).one() for key in ("new", "proposal"))
        with pytest.raises(Refused, match=r"sales\.stage_in_use"):
            s.delete(new)
        with pytest.raises(Refused, match=r"sales\.stage_in_use"):
            s.update(Stage, new.id, {"key": "fresh"})
        with pytest.raises(Refused, match=r"sales\.stage_twice"):
            s.update(Stage, proposal.id, {"key": "won"})
        s.delete(proposal)
        with pytest.raises(Refused, match=r"sales\.unknown_stage"):
            deal(s, "other", stage="proposal")


def rate(s: Session, base: str, day: date, value: str) -> None:
    s.create(ExchangeRate(base=base, quote="BRL", valid_from=day, rate=Decimal(value)))


def test_a_closed_deal_keeps_the_rate_of_its_day(brl: CRM) -> None:
    """[C78, G12]"""
    with brl.session(BOSS) as s:
        rate(s, "EUR", date(2026, 1, 1), "6.123456789")
        rate(s, "EUR", date(2027, 1, 1), "9")
    with brl.session(rep("A")) as s:
        d = s.use(Sales).win(deal(s, amount=Money("100.05", "EUR")), reason="price")
        assert (d.amount_base, d.base_rate, d.base_day) == (Money("612.65", "BRL"), Decimal("6.123456789"), date(2026, 5, 4))
    with brl.session(BOSS) as s:
        rate(s, "EUR", date(2026, 5, 4), "7")
    with brl.session(rep("A")) as s:
        assert s.get(Opportunity, d.id).amount_base == Money("612.65", "BRL")
        changed = s.update(Opportunity, d.id, {"amount": Money("200.10", "EUR")})
        assert changed.amount_base == Money("1225.30", "BRL")
        reopened = s.use(Sales).reopen(changed)
        assert reopened.amount_base is None
        assert s.use(Sales).win(reopened, reason="price").base_rate == Decimal(7)


def test_a_deal_in_the_base_currency_needs_no_rate(brl: CRM) -> None:
    with brl.session(rep("A")) as s:
        d = s.use(Sales).win(deal(s, amount=Money("10", "BRL")), reason="price")
        assert (d.amount_base, d.base_rate) == (Money("10", "BRL"), Decimal(1))


def test_without_a_rate_a_deal_is_not_closed(brl: CRM) -> None:
    """[C78] Else its figure would move with a later rate."""
    with brl.session(rep("A")) as s, pytest.raises(Refused, match=r"sales\.rate_missing"):
        s.use(Sales).win(deal(s), reason="price")


def test_an_old_deal_is_closed_on_its_own_day_in_the_tenants_zone(make_crm: Any) -> None:
    from crm_sales import plugin

    crm = make_crm(plugins=[plugin.configured(timezone="Asia/Shanghai")])
    with crm.session(BOSS) as s:
        d = deal(s, stage="won", won_reason="old", closed_at=datetime(2017, 3, 31, 20, tzinfo=UTC))
        assert d.closed_on == date(2017, 4, 1)


def test_an_old_deal_has_the_rate_of_its_day_in_the_tenants_zone(make_crm: Any) -> None:
    """[C78] It closed on 1 April in Shanghai, and its day, its month in the forecast and its rate agree on that."""
    from crm_sales import plugin

    crm = make_crm(plugins=[plugin.configured(timezone="Asia/Shanghai", base_currency="BRL")])
    with crm.session(BOSS) as s:
        rate(s, "EUR", date(2017, 3, 1), "3")
        rate(s, "EUR", date(2017, 4, 1), "4")
        d = deal(s, stage="won", won_reason="old", amount=Money("10", "EUR"), closed_at=datetime(2017, 3, 31, 20, tzinfo=UTC))
        assert (d.closed_on, d.base_rate, d.amount_base) == (date(2017, 4, 1), Decimal(4), Money("40", "BRL"))


@pytest.mark.parametrize("at", ["9999-12-31T20:00:00+00:00", "0001-01-01T03:00:00+00:00"])
def test_a_deal_closed_at_the_end_of_time_is_refused_by_its_field(make_crm: Any, at: str) -> None:
    """Such an instant has no day in half of the world's zones."""
    from crm_sales import plugin

    crm = make_crm(plugins=[plugin.configured(timezone="Asia/Shanghai" if at > "5" else "America/Bogota")])
    with crm.session(BOSS) as s, pytest.raises(Invalid) as raised:
        deal(s, stage="won", won_reason="old", closed_at=datetime.fromisoformat(at))
    assert [(d.field, d.code) for d in raised.value.details] == [("closed_at", "out_of_range")]


@pytest.mark.parametrize("name", ["base_currency", "currency", "timezone"])
def test_settings_name_currencies_and_zones_that_exist(crm: CRM, name: str) -> None:
    with crm.session(BOSS) as s, pytest.raises(Invalid) as raised:
        s.change_settings(Settings, {name: "Mars/Olympus" if name == "timezone" else "ZZZ"})
    assert [(d.field, d.code) for d in raised.value.details] == [(name, "bad_value")]


def test_time_in_a_stage_can_be_told(make_crm: Any) -> None:
    from crm_core import Runtime
    from tests.sales.desk import PLAIN, START

    runtime = Runtime.seeded(1, start=START)
    crm = make_crm(plugins=[PLAIN], runtime=runtime)
    assert isinstance(runtime.clock, FixedClock)
    with crm.session(BOSS) as s:
        d = deal(s)
        runtime.clock.advance(timedelta(days=3))
        s.use(Sales).move(d, "proposal")
        first, second = s.query(StageHistory).order_by(StageHistory.at).all()
        assert timedelta(days=3) <= second.at - first.at < timedelta(days=3, minutes=1)


def test_a_deal_may_have_no_account_yet(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        assert s.create(Opportunity(name="x", amount=EUR)).account is None
        assert s.query(Account).count() == 0
