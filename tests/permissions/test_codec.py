"""Rules and roles survive JSON without loss, and JSON from outside cannot do harm."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import CRMError, Invalid
from crm_core.permissions.predicates import Shared
from crm_core.permissions.role_codec import role_from_json, role_to_json
from crm_core.permissions.roles import Role
from crm_core.rules import F, Rule, actor, from_json, owner, related, team, to_json

from .world import RULES, Company, Deal


@given(RULES)
def test_a_rule_is_the_same_after_json(rule: Rule) -> None:
    assert from_json(json.loads(json.dumps(to_json(rule)))) == rule


def test_a_rule_reads_in_json_as_in_python() -> None:
    rule = (owner | team) & ~(F("stage") == "won") & related("company", F("region").in_(actor("regions")))
    assert to_json(rule) == {
        "op": "and",
        "rules": [
            {"op": "or", "rules": [{"op": "owner"}, {"op": "team"}]},
            {"op": "not", "rule": {"op": "eq", "field": "stage", "value": "won"}},
            {"op": "related", "ref": "company", "rule": {"op": "in", "field": "region", "values": {"actor": "regions"}}},
        ],
    }


def test_what_only_a_policy_adds_is_not_written() -> None:
    with pytest.raises(Invalid) as e:
        to_json(owner | Shared("read", "deal"))
    assert e.value.code == "rule_unknown_node"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "rule_json"),
        ([], "rule_json"),
        ("owner", "rule_json"),
        ({}, "rule_json"),
        ({"op": 7}, "rule_json"),
        ({"op": "exec", "code": "1"}, "rule_unknown_node"),
        ({"op": "shared for read"}, "rule_unknown_node"),
        ({"op": "ownr"}, "rule_unknown_node"),
        ({"op": "owner", "extra": 1}, "rule_json"),
        ({"op": "eq", "field": "stage"}, "rule_json"),
        ({"op": "eq", "field": 7, "value": 1}, "rule_json"),
        ({"op": "eq", "field": "stage", "value": 1.5}, "rule_value"),
        ({"op": "eq", "field": "stage", "value": None}, "rule_value"),
        ({"op": "eq", "field": "stage", "value": [1]}, "rule_value"),
        ({"op": "eq", "field": "stage", "value": {}}, "rule_json"),
        ({"op": "eq", "field": "stage", "value": {"decimal": "x"}}, "rule_json"),
        ({"op": "eq", "field": "stage", "value": {"decimal": "NaN"}}, "rule_value"),
        ({"op": "eq", "field": "stage", "value": {"decimal": 1}}, "rule_json"),
        ({"op": "eq", "field": "stage", "value": {"date": "2026-13-01"}}, "rule_json"),
        ({"op": "eq", "field": "stage", "value": {"datetime": "2026-03-01T00:00:00"}}, "rule_value"),
        ({"op": "eq", "field": "stage", "value": {"pickle": "gASV"}}, "rule_json"),
        ({"op": "eq", "field": "stage", "value": {"actor": "a b"}}, "rule_value"),
        ({"op": "eq", "field": "stage", "value": {"money": {"amount": "1", "currency": "XXY"}}}, "bad_currency"),
        ({"op": "in", "field": "stage", "values": "abc"}, "rule_json"),
        ({"op": "in", "field": "stage", "values": {"decimal": "1"}}, "rule_value"),
        ({"op": "and", "rules": {"op": "owner"}}, "rule_json"),
        ({"op": "not", "rule": None}, "rule_json"),
        ({"op": "related", "ref": "a", "rule": {"op": "related", "ref": "b", "rule": {"op": "owner"}}}, "rule_value"),
        ({"op": "startswith", "field": "a", "prefix": 1}, "rule_json"),
    ],
    ids=str,
)
def test_a_broken_rule_is_refused_with_its_reason(data: Any, code: str) -> None:
    with pytest.raises(Invalid) as e:
        from_json(data)
    assert e.value.code == code


def test_an_unknown_node_comes_with_a_suggestion() -> None:
    with pytest.raises(Invalid) as e:
        from_json({"op": "startwith", "field": "a", "prefix": "b"})
    assert e.value.params["suggestion"] == "startswith"


def _deep() -> dict[str, Any]:
    data: dict[str, Any] = {"op": "owner"}
    for _ in range(100_000):
        data = {"op": "not", "rule": data}
    return data


def _cyclic() -> dict[str, Any]:
    data: dict[str, Any] = {"op": "not"}
    data["rule"] = data
    return data


@pytest.mark.parametrize("make", [_deep, _cyclic, lambda: {"op": "or", "rules": [{"op": "owner"}] * 5000}], ids=["deep", "cyclic", "wide"])
def test_a_rule_of_any_size_is_refused_at_once(make: Any) -> None:
    data = make()
    start = time.perf_counter()
    with pytest.raises(Invalid) as e:
        from_json(data)
    assert e.value.code == "rule_too_deep"
    assert time.perf_counter() - start < 0.5


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["op", "field", "value", "values", "rule", "rules", "ref", "prefix", "actor", "decimal"]), inner, max_size=4
        )
        | st.builds(
            lambda op, d: {**d, "op": op},
            st.sampled_from(["and", "or", "not", "eq", "in", "related", "owner", "is_null"]),
            st.dictionaries(st.sampled_from(["field", "value", "values", "rule", "rules", "ref"]), inner),
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_is_a_rule_or_a_typed_error(data: Any) -> None:
    try:
        rule = from_json(data)
    except CRMError:
        return
    assert from_json(to_json(rule)) == rule


def test_a_role_is_the_same_after_json() -> None:
    role = (
        Role("emea.lead", label="EMEA lead", extends=["rep"])
        .allow(Deal, "read", "acme.loyalty.redeem", where=owner | team, fields={"amount": "none", "memo": "masked"})
        .allow(Company, "read")
        .restrict(Deal, "update", where=~(F("stage") == "won"))
        .permit("sales.run_forecast")
    )
    data = json.loads(json.dumps(role_to_json(role)))
    assert role_to_json(role_from_json(data)) == data
    assert data["allow"][0]["entity"] == "deal"


def test_a_role_needs_but_a_name_and_its_grants_no_condition() -> None:
    role = role_from_json({"name": "auditor", "allow": [{"entity": "deal", "actions": ["read"]}]})
    assert (role.name, role.label, str(role.grants[0].where)) == ("auditor", "auditor", "everything")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "role_json"),
        ({}, "role_json"),
        ({"name": 7}, "role_json"),
        ({"name": ""}, "role_name"),
        ({"name": "a", "admin": True}, "role_json"),
        ({"name": "a", "extends": "b"}, "role_json"),
        ({"name": "a", "extends": [7]}, "role_json"),
        ({"name": "a", "permit": ["plain"]}, "role_action"),
        ({"name": "a", "allow": [7]}, "role_json"),
        ({"name": "a", "allow": [{"entity": "deal"}]}, "role_json"),
        ({"name": "a", "allow": [{"entity": "deal", "actions": []}]}, "role_action"),
        ({"name": "a", "allow": [{"entity": "deal", "actions": ["reed"]}]}, "role_action"),
        ({"name": "a", "allow": [{"entity": "deal", "actions": [["read"]]}]}, "role_action"),
        ({"name": "a", "allow": [{"entity": "deal", "actions": ["read"], "fields": {"memo": "hidden"}}]}, "role_level"),
        ({"name": "a", "allow": [{"entity": "deal", "actions": ["read"], "fields": {"memo": []}}]}, "role_level"),
        ({"name": "a", "allow": [{"entity": "deal", "actions": ["read"], "where": {"op": "x"}}]}, "rule_unknown_node"),
        ({"name": "a", "restrict": [{"entity": "deal", "actions": ["read"]}]}, "role_json"),
    ],
    ids=str,
)
def test_a_broken_role_is_refused_with_its_reason(data: Any, code: str) -> None:
    with pytest.raises(Invalid) as e:
        role_from_json(data)
    assert e.value.code == code
