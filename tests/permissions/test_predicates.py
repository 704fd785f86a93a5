"""Rules combine, simplify, read and refuse as they are written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from crm_core.entities.fields import Ref
from crm_core.entities.money import Money
from crm_core.errors import Invalid
from crm_core.permissions.predicates import And, Not, Or, Related, Shared, all_of, any_of, walk
from crm_core.rules import F, Rule, actor, everything, nothing, owner, related, subordinates, team

from .world import COMPANY_IDS, RULES, Company, Stage


def test_rules_join_flat_and_each_once() -> None:
    assert (owner | team) | (subordinates | owner) == Or((owner, team, subordinates))
    assert (owner & team) & owner == And((owner, team))


def test_everything_and_nothing_are_simplified_away() -> None:
    assert owner & everything == owner
    assert owner | nothing == owner
    assert owner & nothing == nothing
    assert owner | everything == everything
    assert ~everything == nothing
    assert ~nothing == everything
    assert ~~owner == owner
    assert related("company", nothing) == nothing
    assert F("stage").in_([]) == nothing
    assert all_of([]) == everything
    assert any_of([]) == nothing


def test_a_reference_to_anything_living_is_no_tautology() -> None:
    assert isinstance(related("company", everything), Related)


def test_a_rule_says_what_it_is() -> None:
    rule = owner | (F("stage") == Stage.WON)
    assert str(rule & ~(F("amount") >= Money("10", "EUR"))) == "(owner | stage == 'won') & ~(amount >= Money('10.00', 'EUR'))"
    assert str(related("company", F("region") == actor("region"))) == "related(company, region == actor('region'))"
    assert str(F("region").in_(["a", "b"]) | F("memo").is_null() | F("title").startswith("x")) == (
        "region in ['a', 'b'] | memo is null | title starts with 'x'"
    )
    assert str(Shared("read", "deal") | everything & nothing) == "shared for read"


def test_a_rule_used_as_a_truth_says_how_to_combine_rules() -> None:
    with pytest.raises(TypeError, match="combine rules with &"):
        _ = owner and team
    with pytest.raises(TypeError, match="combine rules with &"):
        _ = 1 < F("seats") < 3


@pytest.mark.parametrize("operand", [True, "owner", None, F("owner")])
def test_a_rule_combines_only_with_rules(operand: Any) -> None:
    with pytest.raises(TypeError):
        owner & operand
    with pytest.raises(TypeError):
        owner | operand


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        Decimal("NaN"),
        Decimal("Infinity"),
        datetime(2026, 1, 1),  # noqa: DTZ001
        "a\x00b",
        "\ud800",
        "x" * 10_001,
        [1],
        {},
        b"x",
        F("other"),
        owner,
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_constant_of_no_comparable_type_is_refused(value: Any) -> None:
    with pytest.raises(Invalid) as e:
        _ = F("field") == value
    assert (e.value.code, e.value.params["field"]) == ("rule_value", "field")
    with pytest.raises(Invalid):
        F("field").in_(["good", value])


def test_a_list_of_constants_is_limited_and_no_text() -> None:
    for values in ("abc", b"abc", {"a"}, 7, list(range(501))):
        with pytest.raises(Invalid, match="500"):
            F("field").in_(values)  # type: ignore[arg-type]  # on purpose


def test_a_hop_leads_no_further() -> None:
    for inner in (related("parent", owner), ~related("parent", owner), Shared("read", "company"), "owner"):
        with pytest.raises(Invalid) as e:
            related("company", inner)  # type: ignore[arg-type]  # on purpose
        assert e.value.code == "rule_value"


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a" * 42, "a b", 7])
def test_an_attribute_of_the_actor_has_a_plain_name(name: Any) -> None:
    with pytest.raises(Invalid):
        actor(name)


def test_a_field_of_a_rule_is_given_by_name() -> None:
    with pytest.raises(Invalid):
        F(7)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(Invalid):
        F("title").startswith(7)  # type: ignore[arg-type]  # on purpose


def test_enums_and_references_are_kept_by_value_and_id() -> None:
    assert (F("stage") == Stage.WON) == (F("stage") == "won")
    assert (F("company") == Ref(Company, COMPANY_IDS[0])) == (F("company") == COMPANY_IDS[0])


def test_constants_of_all_kinds_are_kept_exactly() -> None:
    for value in (True, 7, Decimal("0.10"), Money("1.50", "EUR"), date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC), "中"):
        assert (F("field") != value).value == value  # type: ignore[attr-defined]  # a Compare


@given(RULES)
def test_a_rule_and_its_double_negation_are_one(rule: Rule) -> None:
    assert ~~rule == rule
    assert not any(isinstance(n, Not) and isinstance(n.rule, Not) for n in walk(rule))
