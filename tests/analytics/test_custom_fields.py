"""[C76] A tenant's custom fields in the reports of modules: grouped by, filtered by, added up, and seen by whom they are for."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

import crm_sales
from crm_analytics import plugin
from crm_analytics.api import AccountGrade, Analytics, RebuildRollups, RegradeCustomers, Report, Settings
from crm_core import CRM, Account, Actor, ExchangeRate, FixedClock, Invalid, MixedCurrency, Money, Role, Runtime
from crm_core.rules import F
from crm_sales.api import Opportunity, Sales
from tests.analytics import shop

NOW = datetime(2026, 1, 9, 9, tzinfo=UTC)
BOSS = Actor.system("boss", tenant="main")
SEES = Actor("1", roles={"sales.manager"}, locale="zh")
BLIND = Actor("9", roles={"blind"})
BLINDED = Role("blind").allow(Opportunity, "read", fields={"custom.budget": "none"}).allow(Account, "read")
DEALS = (
    ("gold", Money("100.10", "EUR"), "1.5", "EUR", 10),
    ("gold", Money("200.20", "EUR"), "2.25", "USD", 20),
    ("tin", None, None, "EUR", 40),
    (None, Money("0.05", "EUR"), "-1", "EUR", 80),
)


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    """A CRM that sells, with fields that its tenant added and four deals, one won each month."""
    made: CRM = make_crm(plugins=[crm_sales.plugin, shop.plugin, plugin], roles=[BLINDED], runtime=Runtime.seeded(1, clock=FixedClock(NOW)))
    with made.session(BOSS) as s:
        add = s.custom_fields.add
        tiers: Mapping[str, Any] = {"gold": {"en": "Gold", "zh": "金"}, "tin": {"en": "Tin", "zh": "锡"}}
        add(Opportunity, "tier", kind="choice", options=tiers, label={"en": "Tier", "zh": "等级"})
        add(Opportunity, "budget", kind="money", currency="EUR", scale=2, label="Budget")
        add(Opportunity, "weight", kind="decimal", scale=2)
        add(Opportunity, "partner", kind="reference", target=Account)
        add(Opportunity, "secret", kind="integer", readers=["sales.manager"])
        partner = s.create(Account(name="Partner Ltd"))
        for n, (tier, budget, weight, currency, amount) in enumerate(DEALS):
            values = {"tier": tier, "budget": budget, "weight": weight, "partner": partner.ref if n else None, "secret": n}
            deal = Opportunity(name=f"d{n}", amount=Money(amount, currency), opened_on=date(2026, 1, 1), custom=values)
            s.use(Sales).win(s.create(deal), reason="price")
    return made


def report(crm: CRM, actor: Actor, *metrics: str, **asked: Any) -> Any:
    """Run a report in a session of its own."""
    with crm.session(actor, write=False) as s:
        return s.use(Analytics).run(Report(metrics=metrics, **asked))


def test_records_are_grouped_by_a_custom_field(crm: CRM) -> None:
    found = report(crm, BOSS, "sales.won_deals", by=["custom.tier"])
    assert [(row.keys, row["sales.won_deals"]) for row in found.rows] == [(("gold",), 2), (("tin",), 1), ((None,), 1)]
    both = report(crm, BOSS, "sales.won_value", by=["sales.status", "custom.tier"], where=F("custom.tier") == "gold")
    assert [row["sales.won_value"] for row in both.rows] == [Money(10, "EUR"), Money(20, "USD")]


def test_a_reference_is_shown_by_its_name_and_a_choice_by_its_label_in_the_readers_language(crm: CRM) -> None:
    with crm.session(SEES, write=False) as s:
        analytics = s.use(Analytics)
        asked = Report(metrics=["sales.won_deals", "sales.won_deals.custom.weight"], by=["custom.tier", "custom.partner"])
        table = analytics.run(asked)
        assert {table.shown(row.keys[1]) for row in table.rows} == {"", "Partner Ltd"}
        assert table.worded("custom.tier", "gold") == "金"
        lines = list(csv.reader(analytics.csv(asked, labelled=True).splitlines()))
        assert (lines[0][0], {line[0] for line in lines[1:]}) == ("等级", {"金", "锡", ""})
        told = json.loads(analytics.json(asked))
        assert {row["by"]["custom.tier"] for row in told["rows"]} == {"gold", "tin", None}


def test_the_records_are_filtered_by_a_custom_field_also_where_sums_are_kept(crm: CRM) -> None:
    asked: dict[str, Any] = {"by": ["sales.stage"], "where": F("custom.weight") > Decimal(0), "currency": None}
    before = report(crm, BOSS, "sales.won_deals", **asked)
    with crm.session(BOSS) as s:
        s.perform(RebuildRollups())
    after = report(crm, BOSS, "sales.won_deals", **asked)
    assert [row["sales.won_deals"] for row in before.rows] == [row["sales.won_deals"] for row in after.rows] == [2]


def test_a_custom_field_is_added_up_over_the_records_of_a_measure_exactly(crm: CRM) -> None:
    names = ("sales.won_deals", "sales.won_deals.custom.budget", "sales.won_deals.custom.weight")
    found = report(crm, BOSS, *names, by=["custom.tier"], grain="month")
    assert [(row.period.label, row.currency, row.keys[0], *(row[n] for n in names)) for row in found.rows] == [
        ("2026-01", "EUR", "gold", 2, Money("300.30", "EUR"), Decimal("3.75")),
        ("2026-01", "EUR", "tin", 1, Money(0, "EUR"), 0),
        ("2026-01", "EUR", None, 1, Money("0.05", "EUR"), Decimal("-1.00")),
    ]
    assert [found.total[n] for n in names] == [4, Money("300.35", "EUR"), Decimal("2.75")]
    assert report(crm, BOSS, names[1], since=date(2026, 2, 1)).total[names[1]] is None
    with crm.session(BOSS) as s:
        s.perform(RebuildRollups())
    assert [report(crm, BOSS, *names).total[n] for n in names] == [4, Money("300.35", "EUR"), Decimal("2.75")]


def test_an_amount_of_a_custom_field_stands_beside_amounts_in_other_currencies_and_is_not_converted(crm: CRM) -> None:
    names = ("sales.won_value", "sales.won_value.custom.budget")
    found = report(crm, BOSS, *names)
    assert [(t.currency, *(t[n] for n in names)) for t in found.totals] == [
        ("EUR", Money(130, "EUR"), Money("300.35", "EUR")),
        ("USD", Money(20, "USD"), Money(0, "USD")),
    ]
    assert report(crm, BOSS, names[1], currency="EUR").total[names[1]] == Money("300.35", "EUR")
    with pytest.raises(MixedCurrency):
        report(crm, BOSS, names[1], currency="USD")


@pytest.mark.parametrize("name", ["budget", "secret", "nothing"])
def test_a_field_that_the_reader_may_not_see_is_as_unknown_as_one_that_is_not_there(crm: CRM, name: str) -> None:
    heard = []
    for asked in (
        {"metrics": ["sales.won_deals"], "by": [f"custom.{name}"]},
        {"metrics": ["sales.won_deals"], "where": F(f"custom.{name}") > 0},
        {"metrics": [f"sales.won_deals.custom.{name}"]},
    ):
        with crm.session(BLIND, write=False) as s, pytest.raises(Invalid) as refused:
            s.use(Analytics).run(Report(**asked))
        heard.append((refused.value.code, str(refused.value).replace(name, "?")))
    assert [code for code, _ in heard] == ["unknown_field", "rule_unknown_field", "unknown_field"]
    with crm.session(BLIND, write=False) as s:
        known = s.use(Analytics).catalogue()
    assert not any(name in d.name or name in " ".join(d.dimensions) for d in known)


def test_the_catalogue_names_custom_fields_to_who_may_ask_by_them(crm: CRM) -> None:
    with crm.session(SEES, write=False) as s:
        known = {d.name: d for d in s.use(Analytics).catalogue()}
        plain = {d.name: d for d in s.use(Analytics).catalogue("en")}
    assert {"custom.tier", "custom.partner", "custom.secret"} <= set(known["sales.won_deals"].dimensions)
    budget = known["sales.won_deals.custom.budget"]
    assert (budget.label, budget.unit, budget.additive, budget.grain) == ("Budget", "money", True, known["sales.won_deals"].grain)
    assert plain["sales.won_deals.custom.weight"].unit == "number"
    assert "sales.won_deals.custom.tier" not in known
    with crm.session(Actor.system("other", tenant="other"), write=False) as s:
        assert not any("custom" in d.name or "custom" in str(d.dimensions) for d in s.use(Analytics).catalogue())


def test_what_does_not_add_up_or_is_no_field_of_the_measures_records_is_an_error_in_words(crm: CRM) -> None:
    for metrics, by, code in (
        (["sales.won_deals.custom.tier"], [], "analytics.bad_question"),
        (["sales.win_rate.custom.budget"], [], "analytics.unknown_metric"),
        (["nothing.custom.budget"], [], "analytics.unknown_metric"),
        (["shop.purchases"], ["custom.tier"], "unknown_field"),
        (["sales.won_deals", "shop.purchases"], ["custom.tier"], "analytics.foreign_dimension"),
    ):
        with pytest.raises(Invalid) as refused:
            report(crm, BOSS, *metrics, by=by)
        assert refused.value.code == code


def test_customers_may_be_who_a_custom_reference_points_at_and_purchases_are_a_declared_measure(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        s.change_settings(Settings, {"customer": "custom.partner", "grade_currency": "EUR"})
        s.create(ExchangeRate(base="USD", quote="EUR", valid_from=date(2026, 1, 1), rate=Decimal("0.5")))
    with crm.session(BOSS) as s:
        partner = s.query(Account).one()
        assert s.perform(RegradeCustomers()) == 1
        grade = s.query(AccountGrade).one()
        assert (grade.account, grade.purchases, grade.spent) == (partner.ref, 3, Money(130, "EUR"))
        assert [(c.period.label, c.active) for c in s.use(Analytics).cohorts("month")] == [("2026-01", [1])]
        s.change_settings(Settings, {"purchases": "sales.won_value.custom.budget"})
    with crm.session(BOSS) as s, pytest.raises(Invalid) as refused:
        s.use(Analytics).regrade()
    assert refused.value.code == "analytics.no_purchases"
