"""Rules that are data, as conditions for statements: they find what the Python reading holds for, through the lens; and days as numbers."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from crm_core import CRM, Account, Actor, Entity, Field, Invalid, Money, OptionalMoneyField, Plugin, Ref, Role, days_between, field, owner
from crm_core.rules import F, Rule, actor, check, criterion, everything, matches, nothing, related, subordinates, team

ALL = Actor.system("all", tenant="main")


class Case(Entity):
    """Something to find."""

    owner: Field[str | None] = field(default=None)
    account: Field[Ref[Account] | None] = field(default=None)
    name: Field[str | None] = field(default=None)
    size: Field[int | None] = field(default=None)
    fee: OptionalMoneyField = field(default=None)
    since: Field[date | None] = field(default=None)
    until: Field[date | None] = field(default=None)


plugin = Plugin("court", version="1.0.0")
plugin.entities(Case)
RULES = (
    everything,
    nothing,
    F("name") == "a",
    F("name") != "a",
    F("name").in_(["a", "b%"]),
    F("name").startswith("b"),
    F("name").is_null(),
    F("size") >= 2,
    F("fee") > Money("1", "EUR"),
    F("fee") == Money("2", "USD"),
    related("account", F("name") == "Acme"),
)
CLERK = Role("clerk").allow(Case, "read").allow(Account, "read", where=owner)
READER = Role("reader").allow(Case, "read").allow(Account, "read")
TREES: st.SearchStrategy[Rule] = st.recursive(
    st.sampled_from(RULES),
    lambda inner: (
        st.builds(lambda a, b: a & b, inner, inner) | st.builds(lambda a, b: a | b, inner, inner) | st.builds(lambda a: ~a, inner)
    ),
    max_leaves=6,
)


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    """Cases of all sorts."""
    made: CRM = make_crm(plugins=[plugin], roles=[CLERK, READER])
    with made.session(ALL) as s:
        acme, other = s.create(Account(name="Acme", owner="7")), s.create(Account(name="Acme", owner="8"))
        for n, name in enumerate(["a", "b", "b%", "", None, "A"]):
            fee = Money(n, "EUR" if n % 2 else "USD") if n else None
            account = (acme.ref, other.ref, None)[n % 3]
            s.create(Case(owner=("7", "8", None)[n % 3], account=account, name=name or None, size=n or None, fee=fee))
    return made


@settings(max_examples=60)
@given(TREES)
def test_a_condition_finds_what_the_rule_holds_for(crm: CRM, rule: Rule) -> None:
    who = Actor("7", roles={"reader"})
    with crm.session(who, write=False) as s:
        checked = check(rule, Case, s)
        found = {c.id for c in s.query(Case).where(criterion(rule, Case, s)).all()}
        assert found == {c.id for c in s.query(Case).all() if matches(checked, c, s)}


def test_a_condition_asks_a_related_record_only_where_it_is_seen(crm: CRM) -> None:
    rule = related("account", F("name") == "Acme")
    for who, count in ((Actor("7", roles={"clerk"}), 2), (ALL, 4)):
        with crm.session(who, write=False) as s:
            assert s.query(Case).where(criterion(rule, Case, s)).count() == count


@pytest.mark.parametrize("rule", [owner, team, subordinates, F("name") == actor("word"), F("size").is_null() | team])
def test_a_condition_means_the_same_for_everybody(crm: CRM, rule: Rule) -> None:
    with crm.session(ALL, write=False) as s, pytest.raises(Invalid) as caught:
        criterion(rule, Case, s)
    assert caught.value.code == "rule_of_actor"


@settings(max_examples=30)
@given(st.lists(st.tuples(st.dates(), st.dates()), min_size=1, max_size=5))
def test_days_between_dates_are_those_of_the_calendar(crm: CRM, spans: list[tuple[date, date]]) -> None:
    with pytest.raises(ZeroDivisionError), crm.session(ALL) as s:
        made = [s.create(Case(since=since, until=until)) for since, until in spans]
        rows = s.execute(select(Case.id, days_between(Case.since, Case.until)).where(Case.since.is_not(None)))
        assert {row[0]: row[1] for row in rows} == {c.id: (until - since).days for c, (since, until) in zip(made, spans, strict=True)}
        raise ZeroDivisionError  # nothing of it is kept
