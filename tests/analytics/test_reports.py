"""Reports over figures that plugins declare, through the lens, on both databases [C55, C57]."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crm_sales
from crm_analytics import plugin
from crm_analytics.api import Analytics, Calendar, Grain, Report
from crm_core import CRM, Account, Actor, ExchangeRate, FixedClock, Invalid, MixedCurrency, Money, NotReadable, Role, Runtime
from crm_core.rules import F, subordinates
from crm_sales.api import Opportunity, Sales

BOSS = Actor.system("boss", tenant="main")
REP = Actor("7", roles={"sales.rep"})
OTHER = Actor("8", roles={"sales.rep"})
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
BLIND = Role("blind").allow(Opportunity, "read", fields={"amount": "none"}).allow(Account, "read", fields={"name": "none"})


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    """A CRM that sells and reports, in March 2026."""
    made: CRM = make_crm(plugins=[crm_sales.plugin, plugin], roles=[BLIND], runtime=Runtime.seeded(1, clock=FixedClock(NOW)))
    return made


def sell(crm: CRM, actor: Actor, amount: int, currency: str = "EUR", **given: Any) -> None:
    """Win a deal."""
    with crm.session(actor) as s:
        deal = s.create(Opportunity(name="x", amount=Money(amount, currency), opened_on=date(2026, 2, 20), **given))
        s.use(Sales).win(deal, reason="price")


def test_c55_a_report_counts_what_its_actor_sees(crm: CRM) -> None:
    for actor, amount in ((REP, 100), (OTHER, 250), (OTHER, 50)):
        sell(crm, actor, amount)
    report = Report(metrics=["sales.won_deals", "sales.won_value", "sales.win_rate", "sales.cycle_time"], by=["sales.owner"], grain="month")
    with crm.session(BOSS, write=False) as s:
        assert s.use(Analytics).csv(report).splitlines() == [
            "period,sales.owner,currency,sales.won_deals,sales.won_value,sales.win_rate,sales.cycle_time",
            "2026-03,7,EUR,1,100.00,100.00,10.00",
            "2026-03,8,EUR,2,300.00,100.00,10.00",
        ]
        assert s.use(Analytics).run(report.before()).total["sales.won_deals"] == 3  # without days there is nothing before
    with crm.session(REP, write=False) as s:
        assert s.use(Analytics).run(report).total["sales.won_value"] == Money(100, "EUR")


def test_c55_a_field_that_may_not_be_read_is_not_reported(crm: CRM) -> None:
    sell(crm, REP, 100)
    with crm.session(Actor("9", roles={"blind"}), write=False) as s:
        assert s.use(Analytics).run(Report(metrics=["sales.won_deals"])).total["sales.won_deals"] == 1
        with pytest.raises(NotReadable):
            s.use(Analytics).run(Report(metrics=["sales.won_value"]))


def test_c55_an_account_whose_name_may_not_be_read_is_shown_by_its_id(crm: CRM) -> None:
    with crm.session(REP) as s:
        account = s.create(Account(name="Secret Ltd"))
    sell(crm, REP, 100, account=account.ref)
    report = Report(metrics=["sales.won_deals"], by=["sales.account"])
    for actor, shown in ((BOSS, "Secret Ltd"), (Actor("9", roles={"blind"}), account.id)):
        with crm.session(actor, write=False) as s:
            assert s.use(Analytics).csv(report).splitlines()[1] == f"{shown},1"


def test_c57_velocity_and_forecast_follow_their_formulas(crm: CRM) -> None:
    sell(crm, REP, 1000)
    sell(crm, REP, 2000)
    with crm.session(REP) as s:
        s.use(Sales).lose(s.create(Opportunity(name="y", amount=Money(5, "EUR"))), reason="price")
        for amount, stage in ((300, "proposal"), (100, "new")):
            s.create(Opportunity(name="z", amount=Money(amount, "EUR"), stage=stage))
    names = ["sales.velocity", "sales.weighted_value", "sales.open_value", "sales.win_rate", "sales.deal_size"]
    with crm.session(BOSS, write=False) as s:
        total = s.use(Analytics).run(Report(metrics=names)).total
    # 2 open x 1500 mean x 2/3 won / 10 days; 300 x 60 % + 100 x 10 %
    assert [total[n] for n in names] == [
        Money(200, "EUR"),
        Money(190, "EUR"),
        Money(400, "EUR"),
        Decimal("66.67"),
        Money(1500, "EUR"),
    ]


def test_c55_unlike_currencies_are_split_converted_or_refused(crm: CRM) -> None:
    sell(crm, REP, 100, "EUR")
    sell(crm, REP, 100, "USD")
    report = Report(metrics=["sales.won_value", "sales.won_deals"])
    with crm.session(BOSS) as s:
        s.create(ExchangeRate(base="USD", quote="EUR", valid_from=date(2026, 1, 1), rate=Decimal("0.9")))
        s.create(ExchangeRate(base="USD", quote="EUR", valid_from=date(2026, 3, 3), rate=Decimal("0.8")))
    with crm.session(BOSS, write=False) as s:
        run = s.use(Analytics).run
        split = run(report)
        assert [(r.currency, *r.figures.values()) for r in split.totals] == [("EUR", Money(100, "EUR"), 1), ("USD", Money(100, "USD"), 1)]
        with pytest.raises(MixedCurrency) as several:
            _ = split.total
        assert several.value.code == "analytics.several_totals"
        with pytest.raises(MixedCurrency):
            run(Report(metrics=["sales.won_value"], mixed="refuse"))
        (row,) = run(Report(metrics=["sales.won_value", "sales.won_deals", "sales.deal_size"], currency="EUR")).rows
        assert (row.currency, *row.figures.values()) == ("EUR", Money(190, "EUR"), 2, Money(95, "EUR"))
        with pytest.raises(Invalid, match="CHF"):
            run(Report(metrics=["sales.won_value"], currency="CHF"))
    later = FixedClock(NOW + timedelta(days=2))
    second = CRM(crm.url, plugins=[crm_sales.plugin, plugin], runtime=Runtime.seeded(2, clock=later))
    with second.session(BOSS, write=False) as s:
        for rates, total in (("today", 180), ("dated", 190)):
            report = Report(metrics=["sales.won_value"], currency="EUR", rates=rates)  # type: ignore[arg-type]  # both are
            assert s.use(Analytics).run(report).total["sales.won_value"] == Money(total, "EUR")
    second.close()


def test_c55_what_cannot_be_answered_is_named(crm: CRM) -> None:
    with crm.session(BOSS, write=False) as s:
        for report, code in (
            (Report(metrics=[]), "analytics.no_metric"),
            (Report(metrics=["sales.wonder"]), "analytics.unknown_metric"),
            (Report(metrics=["sales.deals"], by=["sales.colour"]), "analytics.unknown_dimension"),
            (Report(metrics=["sales.deals"], zone="Mars/Olympus"), "analytics.unknown_zone"),
            (Report(metrics=["sales.deals"], where=F("colour") == "red"), "rule_unknown_field"),
            (Report(metrics=["sales.deals"], where=subordinates), "rule_of_actor"),
            (Report(metrics=["sales.deals"], grain="day", since=date(2000, 1, 1), until=NOW.date()), "analytics.too_many_periods"),
        ):
            with pytest.raises(Invalid) as caught:
                s.use(Analytics).run(report)
            assert caught.value.code == code


def test_c55_an_empty_report_has_a_total_of_nothing(crm: CRM) -> None:
    with crm.session(BOSS, write=False) as s:
        table = s.use(Analytics).run(Report(metrics=["sales.won_deals", "sales.won_value", "sales.win_rate"], grain="month"))
        assert (table.rows, table.total.figures) == (
            [],
            {"sales.won_deals": 0, "sales.won_value": None, "sales.win_rate": None},
        )


def test_c55_exports_say_the_same_and_no_cell_is_a_formula(crm: CRM) -> None:
    sell(crm, REP, 100, source="=HYPERLINK(1)")
    sell(crm, REP, 25, source=" ＝1")
    sell(crm, REP, 50)
    report = Report(metrics=["sales.won_value", "sales.win_rate"], by=["sales.source"], grain="year")
    with crm.session(BOSS, write=False) as s:
        rows = list(csv.reader(s.use(Analytics).csv(report).splitlines()))
        data = json.loads(s.use(Analytics).json(report))
    assert sorted(rows[1:], key=lambda row: row[1]) == [
        ["2026", "", "EUR", "50.00", "100.00"],
        ["2026", "' ＝1", "EUR", "25.00", "100.00"],
        ["2026", "'=HYPERLINK(1)", "EUR", "100.00", "100.00"],
    ]
    exact = {row["by"]["sales.source"]: row for row in data["rows"]}
    assert exact["=HYPERLINK(1)"] == {
        "period": {"label": "2026", "first": "2026-01-01", "last": "2026-12-31"},
        "by": {"sales.source": "=HYPERLINK(1)"},
        "currency": "EUR",
        "figures": {"sales.won_value": {"amount": "100.00", "currency": "EUR"}, "sales.win_rate": "100.00"},
    }
    assert exact.keys() == {"=HYPERLINK(1)", " ＝1", None}
    assert data["totals"][0]["figures"]["sales.won_value"]["amount"] == "175.00"


def test_c55_columns_and_options_are_called_as_the_reader_calls_them(crm: CRM) -> None:
    sell(crm, REP, 100)
    report = Report(metrics=["sales.won_value", "sales.win_rate"], by=["sales.status"], grain="year")
    with crm.session(Actor("1", roles={"sales.manager", "analytics.viewer"}, locale="zh_CN"), write=False) as s:
        assert s.use(Analytics).csv(report, labelled=True).splitlines() == ["期间,状态,币种,赢单金额,赢率", "2026,赢单,EUR,100.00,100.00"]
        assert json.loads(s.use(Analytics).json(report))["labels"]["sales.win_rate"] == "赢率"
    with crm.session(BOSS, write=False) as s:
        table = s.use(Analytics).run(report)
        assert [table.labels[name] for name in (*report.by, *report.metrics)] == ["Status", "Won", "Win rate"]
        assert table.worded("sales.status", table.rows[0].keys[0]) == "Won"


INSTANTS = st.datetimes(datetime(2024, 10, 1), datetime(2025, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  # the zone follows


@settings(max_examples=15)
@given(
    at=st.lists(INSTANTS, max_size=12),
    zone=st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"]),
    grain=st.sampled_from([Grain.WEEK, Grain.MONTH, Grain.QUARTER, Grain.YEAR]),
    start=st.integers(1, 12),
)
def test_c55_instants_are_counted_in_the_period_of_the_zone(crm: CRM, at: list[datetime], zone: str, grain: Grain, start: int) -> None:
    calendar = Calendar(zone, start)
    expected = Counter(calendar.period(calendar.day_of(instant), grain) for instant in at)
    with pytest.raises(ZeroDivisionError), crm.session(BOSS) as s:
        clock: Any = crm.runtime.clock
        for instant in sorted(at):
            clock._now = instant  # a property runs many times; a clock that only advances could not
            s.create(Opportunity(name="x", amount=Money(1, "EUR")))
        table = s.use(Analytics).run(Report(metrics=["sales.deals"], grain=grain, zone=zone, fiscal_start=start))
        assert {r.period: r["sales.deals"] for r in table.rows} == expected
        assert [r.period for r in table.rows] == sorted(expected)
        raise ZeroDivisionError  # nothing of it is kept


DEALS = st.lists(
    st.tuples(
        st.sampled_from(["7", "8", None]),
        st.sampled_from(["new", "proposal", "won"]),
        st.decimals(0, 999, places=2),
        st.sampled_from(["EUR", "USD", "JPY"]),
        st.none() | st.dates(date(2026, 1, 1), date(2026, 6, 30)),
    ),
    max_size=15,
)


@settings(max_examples=15)
@given(deals=DEALS, by=st.sets(st.sampled_from(["sales.owner", "sales.stage", "sales.currency"])), grain=st.none() | st.sampled_from(Grain))
def test_c55_parts_add_up_to_the_total_to_the_cent(crm: CRM, deals: list[Any], by: set[str], grain: Grain | None) -> None:
    names = ["sales.open_deals", "sales.open_value", "sales.weighted_value"]
    with pytest.raises(ZeroDivisionError), crm.session(BOSS) as s:
        s.create(ExchangeRate(base="USD", quote="EUR", valid_from=date(2026, 1, 1), rate=Decimal("0.912345678")))
        s.create(ExchangeRate(base="JPY", quote="EUR", valid_from=date(2026, 1, 1), rate=Decimal("0.006123457")))
        for owner, stage, amount, currency, closing in deals:
            money = Money(amount, currency).rounded()
            reason = "price" if stage == "won" else None
            s.create(Opportunity(name="x", owner=owner, stage=stage, amount=money, expected_close=closing, won_reason=reason))
        for currency in (None, "EUR"):
            parts = s.use(Analytics).run(Report(metrics=names, by=sorted(by), grain=grain, currency=currency))
            whole = s.use(Analytics).run(Report(metrics=names, currency=currency))
            assert [(t.currency, dict(t.figures)) for t in parts.totals] == [(t.currency, dict(t.figures)) for t in whole.totals]
            for total in whole.totals:
                rows: list[Any] = [r for r in parts.rows if r.currency == total.currency]
                assert sum(r["sales.open_deals"] for r in rows) == total["sales.open_deals"]
                for name in names[1:] if total.currency else ():
                    assert Money.sum((r[name] for r in rows), total.currency or "") == total[name]
        raise ZeroDivisionError  # nothing of it is kept


@pytest.mark.parametrize(
    ("part", "given"),
    [
        ("metrics", [1]),
        ("by", 5),
        ("since", "31.12.2027"),
        ("until", datetime(2027, 12, 31, tzinfo=UTC)),
        ("grain", "months"),
        ("where", "owner"),
    ],
)
def test_a_question_that_means_nothing_is_refused_and_not_answered_with_nothing(part: str, given: Any) -> None:
    with pytest.raises(Invalid) as raised:
        Report(**{"metrics": "sales.won_value", part: given})
    assert (raised.value.code, raised.value.params["part"]) == ("analytics.bad_question", part)
    assert Report(metrics="sales.won_value", by="sales.owner").by == ("sales.owner",)
