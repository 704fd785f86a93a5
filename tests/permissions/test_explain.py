"""An explanation names the rule that decided, and says the same as the policy itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from crm_core.permissions.actor import Actor
from crm_core.permissions.directory import User
from crm_core.permissions.explain import Explanation, explain
from crm_core.permissions.members import Members
from crm_core.permissions.policies import Policies
from crm_core.permissions.roles import Role
from crm_core.permissions.to_python import holds
from crm_core.rules import F, Rule, owner, related, subordinates, team
from tests.permissions.loaded import LoadedFacts

from .test_roles import Loaded
from .world import COMPANY_IDS, DEAL_IDS, RULES, Deal, World, build

PEOPLE = Members.of([User("u1", "Ann", teams={"emea"}), User("u2", "Bob", manager="u1", teams={"apac"}), User("u7", "Eve")])
SELLER = Role("sales_rep").allow(Deal, "read", where=owner | subordinates)
PRIVATE = Role("private").restrict(Deal, "read", where=~(F("title") == "secret"))
ME = Actor("u1", roles={"sales_rep", "private"}, teams={"emea"})


def told(values: dict[str, Any], *roles: Role, who: Actor = ME, action: str = "read", **facts: Any) -> Explanation:
    policy = Policies(Loaded(), roles or (SELLER, PRIVATE)).resolve(who)
    return explain(policy, LoadedFacts(who, PEOPLE, **facts), action, "deal", {"id": DEAL_IDS[0], **values})


def test_the_rule_that_allows_is_named_with_its_leaf() -> None:
    assert told({"owner": "u2"}, SELLER) == Explanation(
        True, "sales_rep: owner | subordinates", ["sales_rep: owner | subordinates -> owner 'u2' reports to 'u1'"]
    )
    assert told({"owner": "u1"}, SELLER).chain == ["sales_rep: owner | subordinates -> owner 'u1' is 'u1'"]


def test_all_that_failed_is_named_where_nothing_allows() -> None:
    assert told({"owner": "u7"}, SELLER) == Explanation(
        False,
        "",
        [
            "sales_rep: owner | subordinates -> owner 'u7' is not 'u1' and owner 'u7' does not report to 'u1'",
            "the record is not shared with 'u1' for read",
        ],
    )


def test_a_record_without_an_owner_is_said_to_have_none() -> None:
    assert told({"owner": None}, SELLER).chain[0].endswith("the record has no owner and the record has no owner")


def test_a_restriction_that_forbids_is_named() -> None:
    assert told({"owner": "u1", "title": "secret"}) == Explanation(
        False,
        "private: ~(title == 'secret')",
        ["sales_rep: owner | subordinates -> owner 'u1' is 'u1'", "private restricts: ~(title == 'secret') -> title == 'secret' is true"],
    )
    assert told({"owner": "u1", "title": "open"}).allowed


def test_a_share_is_named() -> None:
    shares = frozenset({("deal", DEAL_IDS[0], "read")})
    assert told({"owner": "u7"}, SELLER, shares=shares) == Explanation(True, "shared for read", ["the record is shared with 'u1' for read"])


def test_no_role_at_all_is_said() -> None:
    assert told({}, action="delete").chain == ["no role allows delete on deal: the actor has private, sales_rep"]
    assert told({}, who=Actor("u1")).chain == ["no role allows read on deal: the actor has no role that is known here"]


def test_a_system_actor_needs_no_rule() -> None:
    assert told({}, who=Actor.system("job", tenant="main")).allowed


def test_the_steps_through_references_teams_and_fields_are_told() -> None:
    role = Role("r").allow(
        Deal, "read", where=related("company", team) & (F("title") == "x") & F("memo").startswith("y") & ~F("due").is_null()
    )
    company = {("company", COMPANY_IDS[0]): {"owner": "u2"}, ("company", COMPANY_IDS[1]): {"owner": "u1"}}
    who = Actor("u1", roles={"r"}, teams={"emea"})
    for values, said in (
        ({}, "company points at no living company"),
        ({"company": COMPANY_IDS[5]}, "company points at no living company"),
        ({"company": COMPANY_IDS[0]}, "of company: owner 'u2' does not share a team with 'u1'"),
        ({"company": COMPANY_IDS[1]}, "title has no value"),
        ({"company": COMPANY_IDS[1], "title": "z"}, "title == 'x' is false"),
        ({"company": COMPANY_IDS[1], "title": "x", "memo": "a"}, "memo starts with 'y' is false"),
        ({"company": COMPANY_IDS[1], "title": "x", "memo": "y"}, "due is null is true"),
    ):
        assert told(values, role, who=who, records=company).chain[0].endswith(f"-> {said}")


def test_an_explanation_reads_as_text_and_hides_values_of_the_record() -> None:
    text = str(told({"owner": "u7", "title": "hush"}))
    assert text.startswith("not allowed\n  sales_rep: ")
    assert "hush" not in text


@pytest.fixture
def world(sqlite_databases: Any) -> World:
    return build(sqlite_databases.create().engine(), seed=11)


def test_an_explanation_agrees_with_the_policy_and_always_says_something(world: World) -> None:
    actors = [Actor(a.id, tenant=a.tenant, teams=a.teams, attributes=a.attributes, roles={"one", "two", "no"}) for a in world.actors()]

    @settings(max_examples=50)
    @given(RULES, RULES, RULES)
    def check(one: Rule, two: Rule, forbidden: Rule) -> None:
        roles = [
            Role("one").allow(Deal, "read", where=one),
            Role("two").allow(Deal, "read", where=two),
            Role("no").restrict(Deal, "read", where=forbidden),
        ]
        for who in actors[:3]:
            policy, facts = Policies(Loaded(), roles).resolve(who), world.facts(who)
            for deal in world.deals[:12]:
                found = explain(policy, facts, "read", "deal", deal)
                assert found.allowed == holds(policy.rule("read", Deal), deal, facts)
                assert found.chain
                assert all(step.strip() for step in found.chain)

    check()
