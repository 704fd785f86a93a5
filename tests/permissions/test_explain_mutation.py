"""What ``explain`` names is what decides: take it away, and the answer is the other one."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_core.entities.meta import spec
from crm_core.permissions.actor import Actor
from crm_core.permissions.explain import explain
from crm_core.permissions.policies import Policies
from crm_core.permissions.policy import BoundRole, Policy
from crm_core.permissions.predicates import Rule, Shared
from crm_core.permissions.roles import Role
from crm_core.permissions.to_python import holds
from crm_core.testing.databases import SQLiteDatabases
from tests.figures import LONG, figure

from .loaded import LoadedFacts
from .test_roles import Loaded
from .world import RULES, Deal, build

ACTIONS = ("read", "update")


def _role(name: str, grants: list[tuple[str, Rule]], limits: list[Rule]) -> Role:
    role = Role(name)
    for action, rule in grants:
        role.allow(Deal, action, where=rule)
    for rule in limits:
        role.restrict(Deal, *ACTIONS, where=rule)
    return role


def roles(name: str) -> st.SearchStrategy[Role]:
    grants = st.lists(st.tuples(st.sampled_from(ACTIONS), RULES), max_size=3)
    return st.builds(lambda g, r: _role(name, g, r), grants, st.lists(RULES, max_size=2))


def _without(policy: Policy, facts: LoadedFacts, named: str) -> tuple[Policy, LoadedFacts]:
    """Take away what was named: a role's grant or restriction, or what was shared."""

    def rest(role: BoundRole) -> BoundRole:
        kept = {part: tuple(g for g in getattr(role, part) if f"{role.name}: {g.rule}" != named) for part in ("grants", "restrictions")}
        return attrs.evolve(role, **kept)  # type: ignore[arg-type]  # by name

    if named.startswith("shared"):
        facts = attrs.evolve(facts, shares=frozenset(s for s in facts.shares if str(Shared(s[2], s[0])) != named))
    return Policy(tuple(rest(role) for role in policy.roles)), facts


def test_taking_away_what_explain_names_flips_the_answer(sqlite_databases: SQLiteDatabases) -> None:
    """Of several rules that allow it, or several restrictions that forbid it, each is named in its turn, and none that does not matter."""
    world = build(sqlite_databases.create().engine(), seed=11)
    users = [Actor(a.id, tenant=a.tenant, teams=a.teams, attributes=a.attributes, roles={"one", "two"}) for a in world.actors()]
    entity = spec(Deal).name
    counted = {"decisions": 0, "allowed": 0, "restricted": 0, "removed": 0}

    @settings(max_examples=150 if LONG else 25)
    @given(roles("one"), roles("two"), st.integers(0, 15))
    def check(one: Role, two: Role, at: int) -> None:
        policies = Policies(Loaded(), [one, two])
        for who in users:
            for deal in [d for d in world.deals if d["tenant"] == who.tenant][at::16]:
                for action in ACTIONS:
                    policy, facts = policies.resolve(who), world.facts(who)
                    told = explain(policy, facts, action, entity, deal)
                    assert told.allowed == holds(policy.rule(action, Deal), deal, facts)
                    counted["decisions"] += 1
                    counted["allowed"] += told.allowed
                    counted["restricted"] += bool(told.rule) and not told.allowed
                    first, steps = told, 0
                    while told.rule and told.allowed == first.allowed:
                        policy, facts = _without(policy, facts, told.rule)
                        told = explain(policy, facts, action, entity, deal)
                        assert told.allowed == holds(policy.rule(action, Deal), deal, facts)
                        steps += 1
                        assert steps < 12, "it named what does not matter"
                    counted["removed"] += steps
                    assert (told.allowed != first.allowed) == bool(first.rule)

    check()
    figure(
        "S1 explain", database="sqlite", cases=counted["decisions"], rows=len(world.deals), seed=11,
        result=f"{counted['removed']} rules named and taken away: each answer flips", bar="every answer flips",
    )  # fmt: skip
    assert min(counted.values()) > 20
