"""Actors and users are what the host says, checked; none becomes system by accident."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_args

import attrs
import pytest

from crm_core.errors import Invalid
from crm_core.permissions.actor import Actor, AttributeKind
from crm_core.permissions.directory import User
from crm_core.permissions.to_sql import binds


def test_an_actor_has_an_id_and_sensible_defaults() -> None:
    actor = Actor("7")
    assert (actor.id, actor.tenant, actor.locale, actor.timezone, actor.roles, actor.teams) == (
        "7",
        "main",
        "en",
        "UTC",
        frozenset(),
        frozenset(),
    )
    assert not actor.is_system
    assert actor.plugin == ""


def test_a_number_as_id_is_written_as_text() -> None:
    assert Actor(7).id == "7"
    assert User(7, "Bob", manager=3).manager == "3"


def test_equal_actors_are_one_and_cannot_change() -> None:
    one, two = (Actor("7", roles=["a", "b"], attributes={"region": "emea"}) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.id = "8"  # type: ignore[misc]  # on purpose
    with pytest.raises(TypeError):
        one.attributes["region"] = "apac"  # type: ignore[index]  # on purpose


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("id", {"id": ""}),
        ("id", {"id": None}),
        ("id", {"id": True}),
        ("id", {"id": "x" * 256}),
        ("id", {"id": "a\nb"}),
        ("id", {"id": "\ud800"}),
        ("id", {"id": "system:nightly"}),
        ("id", {"id": "plugin:sales"}),
        ("tenant", {"tenant": ""}),
        ("tenant", {"tenant": "x" * 64}),
        ("tenant", {"tenant": 7}),
        ("roles", {"roles": "admin"}),
        ("roles", {"roles": [7]}),
        ("teams", {"teams": "emea"}),
        ("teams", {"teams": [""]}),
        ("locale", {"locale": ""}),
        ("timezone", {"timezone": "Europe/Nowhere"}),
        ("timezone", {"timezone": "../../etc/passwd"}),
        ("timezone", {"timezone": ""}),
        ("attributes", {"attributes": {"a b": 1}}),
        ("attributes", {"attributes": {7: 1}}),
        ("attributes.a", {"attributes": {"a": 1.5}}),
        ("attributes.a", {"attributes": {"a": {}}}),
        ("attributes.a", {"attributes": {"a": 10**13}}),
        ("attributes.a", {"attributes": {"a": Decimal("1e1000000")}}),
        ("attributes.a", {"attributes": {"a": Decimal("NaN")}}),
        ("attributes.a", {"attributes": {"a": Decimal("0.0000001")}}),
        ("attributes.a", {"attributes": {"a": datetime(2026, 1, 1)}}),  # noqa: DTZ001
        ("attributes.a", {"attributes": {"a": [1]}}),
        ("attributes.a", {"attributes": {"a": "x" * 50_000_000}}),
    ],
)
def test_what_cannot_be_an_actor_is_refused_by_its_argument(field: str, given: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as e:
        Actor(**{"id": "7", **given})
    assert (e.value.code, e.value.params["field"]) == ("bad_actor", field)
    assert len(str(e.value)) < 300


def test_system_and_service_actors_are_made_by_name_only() -> None:
    boss = Actor("7", tenant="acme", locale="zh_CN", timezone="Asia/Shanghai")
    robot = Actor.system("nightly", tenant="acme", on_behalf_of=boss)
    assert (robot.id, robot.is_system, robot.on_behalf_of, robot.locale) == ("system:nightly", True, boss, "zh_CN")
    service = Actor.service("acme.loyalty", tenant="acme", on_behalf_of=boss)
    assert (service.id, service.is_system, service.plugin, service.timezone) == (
        "plugin:acme.loyalty",
        False,
        "acme.loyalty",
        "Asia/Shanghai",
    )
    with pytest.raises(TypeError):
        Actor("7", kind="system")  # type: ignore[call-arg]  # on purpose
    with pytest.raises(Invalid):
        Actor.system("", tenant="acme")
    with pytest.raises(Invalid):
        Actor.system("x" * 300, tenant="acme")


def test_a_copy_of_a_system_actor_with_another_tenant_is_refused() -> None:
    with pytest.raises(Invalid):
        attrs.evolve(Actor.system("nightly", tenant="acme"), tenant="other")


def test_an_attribute_of_another_type_is_no_value() -> None:
    actor = Actor(
        "7",
        attributes={
            "n": 3,
            "t": "x",
            "b": True,
            "d": date(2026, 3, 1),
            "m": datetime(2026, 3, 1, tzinfo=UTC),
            "l": {"b", "a"},
            "none": None,
        },
    )
    kinds = get_args(AttributeKind)
    known = {name: [k for k in kinds if actor.attribute(name, k) is not None] for name in (*actor.attributes, "none")}
    assert known == {"n": ["int", "decimal"], "t": ["text"], "b": ["bool"], "d": ["date"], "m": ["datetime"], "l": ["list"], "none": []}
    assert actor.attribute("l", "list") == ("a", "b")


def test_the_binds_hold_all_that_rules_may_ask() -> None:
    actor = Actor("7", tenant="acme", teams={"b", "a"}, attributes={"limit": 3, "regions": ["x"]})
    found = binds(actor)
    assert {k: json.loads(v) for k, v in found.items() if k in ("crm_teams", "crm_grantees")} == {
        "crm_teams": ["a", "b"],
        "crm_grantees": ["user:7", "team:a", "team:b"],
    }
    assert found["crm_tenant"] == "acme"
    assert found["crm_me"] == "7"
    assert found["crm_attr_limit_int"] == 3
    assert found["crm_attr_limit_decimal"] == Decimal(3)
    assert found["crm_attr_regions_list"] == '["x"]'


def test_a_user_is_checked_like_an_actor() -> None:
    with pytest.raises(Invalid):
        User("7", "Bob", teams="emea")
    with pytest.raises(Invalid):
        User("7", "Bob", timezone="Mars/Olympus")
    assert str(Actor("7", timezone="Europe/Berlin").zone) == "Europe/Berlin"
