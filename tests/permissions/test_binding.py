"""A rule that does not fit its entity is found when the CRM starts, not when someone reads."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import reduce
from operator import or_

import pytest

from crm_core.entities.entity import Entity, Extension
from crm_core.entities.fields import Field, field
from crm_core.entities.meta import bind_extension, spec
from crm_core.entities.money import Money
from crm_core.errors import Invalid, LoadError
from crm_core.permissions.actor import Actor
from crm_core.permissions.binding import bind
from crm_core.permissions.members import NOBODY
from crm_core.permissions.predicates import Related, Within, walk
from crm_core.permissions.to_python import holds
from crm_core.rules import F, Rule, actor, everything, nothing, owner, related, subordinates, team
from tests.permissions.loaded import LoadedFacts

from .world import COMPANY_IDS, Deal, Remark


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (F("stgae") == "new", "rule_unknown_field"),
        (F("stgae").is_null(), "rule_unknown_field"),
        (owner | (F("x") > 1), "rule_unknown_field"),
        (~related("company", F("x") == 1), "rule_unknown_field"),
        (related("nowhere", owner), "rule_unknown_field"),
        (related("title", owner), "rule_operator"),
        (F("seats").startswith("1"), "rule_operator"),
        (F("stage") < "new", "rule_operator"),
        (F("hot") > True, "rule_operator"),
        (F("hot").in_([True]), "rule_operator"),
        (F("id") > COMPANY_IDS[0], "rule_operator"),
        (F("company") < COMPANY_IDS[0], "rule_operator"),
        (F("extra") == "x", "rule_operator"),
        (F("amount").in_([Money("1", "EUR")]), "rule_operator"),
        (F("amount") == actor("limit"), "rule_operator"),
        (F("rate") == actor("limit"), "rule_operator"),
        (F("company").in_(actor("companies")), "rule_operator"),
        (F("amount") > 100, "rule_constant"),
        (F("amount") == Money("0.0000001", "EUR"), "rule_constant"),
        (F("amount") == Money("99999999999999", "EUR"), "rule_constant"),
        (F("discount") == Decimal("0.0000001"), "rule_constant"),
        (F("discount") == Decimal("1e1000000"), "rule_constant"),
        (F("rate") == Decimal("0.001"), "rule_constant"),
        (F("discount") == "0.1", "rule_constant"),
        (F("seats") == True, "rule_constant"),  # noqa: E712
        (F("seats") == 2**63, "rule_constant"),
        (F("seats") == Decimal(1), "rule_constant"),
        (F("hot") == 1, "rule_constant"),
        (F("title") == 1, "rule_constant"),
        (F("stage") == "open", "rule_constant"),
        (F("stage").in_(["new", "open"]), "rule_constant"),
        (F("due") == datetime(2026, 3, 1, tzinfo=UTC), "rule_constant"),
        (F("seen") == date(2026, 3, 1), "rule_constant"),
        (F("company") == "7", "rule_constant"),
        (F("company") == COMPANY_IDS[0].upper().replace("0", "A"), "rule_constant"),
    ],
    ids=str,
)
def test_a_rule_that_does_not_fit_is_a_load_error(rule: Rule, code: str) -> None:
    with pytest.raises(LoadError) as e:
        bind(rule, spec(Deal))
    assert e.value.code == code
    assert e.value.params["entity"] in ("deal", "company")
    with pytest.raises(Invalid):
        bind(rule, spec(Deal), error=Invalid)


def test_a_misspelt_field_comes_with_a_suggestion() -> None:
    with pytest.raises(LoadError, match="Did you mean stage"):
        bind(F("stgae") == "new", spec(Deal))


@pytest.mark.parametrize("rule", [owner, ~team, everything & subordinates | (F("text") == "x")], ids=str)
def test_owner_rules_need_an_owner(rule: Rule) -> None:
    with pytest.raises(LoadError) as e:
        bind(rule, spec(Remark))
    assert e.value.code == "rule_needs_owner"


def test_a_rule_of_too_many_levels_or_nodes_is_refused_without_recursion() -> None:
    deep = owner
    for n in range(100):
        deep = ~(deep & (F("seats") == n)) if n % 2 else ~(deep | (F("seats") == n))
    wide = reduce(or_, [F("seats") == n for n in range(600)])
    for rule in (deep, wide):
        with pytest.raises(LoadError) as e:
            bind(rule, spec(Deal))
        assert e.value.code == "rule_too_deep"


def test_a_bound_rule_knows_targets_and_types() -> None:
    bound = bind(related("company", F("region") == actor("region")) & F("title").in_(actor("regions")), spec(Deal))
    nodes = list(walk(bound))
    assert [n.target for n in nodes if isinstance(n, Related)] == ["company"]
    assert [n.values.kind for n in nodes if isinstance(n, Within)] == ["list"]  # type: ignore[union-attr]  # an ActorValue
    assert bind(bound, spec(Deal)) == bound


def test_binding_simplifies_what_became_constant() -> None:
    assert bind(everything | (F("title") == "x"), spec(Deal)) == everything
    assert bind(nothing & (F("title") == "x"), spec(Deal)) == nothing


def test_a_rule_that_was_never_bound_does_not_decide() -> None:
    facts = LoadedFacts(Actor("7"), NOBODY)
    with pytest.raises(TypeError, match="not bound"):
        holds(F("title") == actor("region"), {"title": "x"}, facts)


def test_an_extensions_field_is_known_where_its_plugin_is_loaded() -> None:
    class Shop(Entity):
        name: Field[str]

    class Loyalty(Extension):
        tier: Field[str] = field(default="basic")

    bind_extension(Loyalty, Shop, "acme.loyalty")
    rule = F("acme_loyalty_tier") == "gold"
    assert bind(rule, spec(Shop), extensions=lambda _: [Loyalty]) == rule
    with pytest.raises(LoadError) as e:
        bind(rule, spec(Shop), extensions=lambda _: [])
    assert e.value.code == "rule_unknown_field"
