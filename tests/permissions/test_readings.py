"""Both readings of a rule say the same of every record: what SQL selects is what Python lets pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_core.entities.meta import spec
from crm_core.permissions.actor import Actor
from crm_core.permissions.binding import bind
from crm_core.permissions.policies import Policies
from crm_core.permissions.predicates import F, Rule, Shared, actor, everything, owner, related, subordinates, team
from crm_core.permissions.roles import Role
from crm_core.permissions.to_python import holds
from crm_core.permissions.to_sql import binds, tenant_bind, to_sql
from crm_core.testing.databases import Database, SQLiteDatabases
from tests.figures import LONG, figure

from .test_roles import Loaded
from .world import DEAL_IDS, RULES, Deal, World, build

RULES_PER_DATABASE = 1300 if LONG else 250
POLICIES_PER_DATABASE = 1300 if LONG else 60
# Which deals are other than the world's, and the seed of each: every rule meets rows of its own.
ROWS = st.dictionaries(st.integers(0, len(DEAL_IDS) - 1), st.integers(0, 2**32), max_size=12)


@pytest.fixture
def world(database: Database) -> World:
    return build(database.engine(), seed=20260301)


@pytest.fixture
def connection(database: Database, world: World) -> Iterator[sa.Connection]:
    with database.engine().connect() as connection:
        yield connection


def selected(world: World, rule: Rule, form: str) -> sa.Select[tuple[str]]:
    table = world.tables.entities[Deal]
    return sa.select(table.c.id).where(table.c.tenant == tenant_bind(), to_sql(rule, world.env(form)))


def test_sql_selects_exactly_the_rows_for_which_python_holds(world: World, connection: sa.Connection) -> None:
    actors = list(world.actors())
    counted = {"cases": 0, "rows": 0, "seen": 0, "drawn": 0}

    @settings(max_examples=RULES_PER_DATABASE)
    @given(RULES, ROWS)
    @example(Shared("read", "deal") | owner, {})
    @example(~Shared("update", "deal"), {})
    @example(related("company", everything) & ~team, {})
    def check(rule: Rule, drawn: dict[int, int]) -> None:
        before = {place: world.put(connection, place, world.drawn(place, seed)) for place, seed in drawn.items()}
        try:
            compare(rule)
        finally:
            for place, deal in before.items():
                world.put(connection, place, deal)
        counted["drawn"] += len(drawn)

    def compare(rule: Rule) -> None:
        bound = bind(rule, spec(Deal))
        form = ("exists", "in")[counted["cases"] % 2]
        statement = selected(world, bound, form)
        for who in actors:
            facts = world.facts(who)
            rows = [d for d in world.deals if d["tenant"] == who.tenant]
            found = set(connection.scalars(statement, binds(who)))
            assert found == {d["id"] for d in rows if holds(bound, d, facts)}, f"{bound} for {who}"
            counted["rows"] += len(rows)
            counted["seen"] += len(found)
            counted["cases"] += 1

    check()
    shown = f"0 of {counted['rows']:,} decisions (rule, user, record) differ; {counted['cases']:,} statements"
    figure(
        "S1", database=connection.dialect.name, cases=counted["rows"], rows=len(world.deals), seed=world.seed, result=shown,
        bar="10,000 cases, 0 differences",
    )  # fmt: skip
    assert counted["cases"] >= (10_000 if LONG else 2000)
    assert counted["rows"] >= 10_000
    assert counted["drawn"] > RULES_PER_DATABASE
    assert 0 < counted["seen"] < counted["rows"]


def role(name: str) -> st.SearchStrategy[Role]:
    """Draw a role: up to two grants and perhaps a restriction, each with its own rule."""

    def made(grants: list[Rule], limits: list[Rule]) -> Role:
        found = Role(name)
        for rule in grants:
            found.allow(Deal, "read", where=rule)
        for rule in limits:
            found.restrict(Deal, "read", where=rule)
        return found

    return st.builds(made, st.lists(RULES, max_size=2), st.lists(RULES, max_size=1))


def test_policies_of_several_roles_select_exactly_what_they_allow(world: World, connection: sa.Connection) -> None:
    """Widening, shares and restrictions together, in both forms and as their tenants' users; both readings of the rule agree with the
    algebra written out here: one role allows or it is shared, and every restriction holds."""
    users = list(world.actors())
    counted = {"cases": 0, "seen": 0}
    pairs: set[tuple[str, int]] = set()

    @settings(max_examples=POLICIES_PER_DATABASE)
    @given(role("one"), role("two"))
    def check(one: Role, two: Role) -> None:
        policies = Policies(Loaded(), [one, two])
        for form, held in (("exists", {"one"}), ("in", {"one", "two"})):
            roles = [r for r in (one, two) if r.name in held]
            statement = selected(world, policies.resolve(Actor("x", roles=held)).rule("read", Deal), form)
            granted = [bind(g.where, spec(Deal)) for r in roles for g in r.grants]
            limits = [bind(g.where, spec(Deal)) for r in roles for g in r.restrictions]
            widening = [*granted, Shared("read", "deal")] if granted else []
            policy = repr([(r.name, r.grants, r.restrictions) for r in roles])
            for n, who in enumerate(users):
                pairs.add((policy, n))
                facts = world.facts(who)
                rows = [d for d in world.deals if d["tenant"] == who.tenant]
                found = set(connection.scalars(statement, binds(who)))
                want = {d["id"] for d in rows if any(holds(g, d, facts) for g in widening) and all(holds(g, d, facts) for g in limits)}
                assert found == want, f"{one} {two} for {who}"
                counted["cases"] += len(rows)
                counted["seen"] += len(found)

    check()
    figure(
        "S1 policies", database=connection.dialect.name, cases=counted["cases"], rows=len(world.deals), seed=world.seed,
        result=f"0 of {counted['cases']:,} decisions (policy, user, record) differ; {len(pairs):,} pairs of policy and user",
        bar="10,000 pairs, 0 differences" if LONG else "10,000 decisions, 0 differences",
    )  # fmt: skip
    assert counted["cases"] >= 10_000
    assert len(pairs) >= (10_000 if LONG else 400)
    assert 0 < counted["seen"] < counted["cases"]


def test_one_more_right_hides_nothing_and_one_more_restriction_shows_nothing(sqlite_databases: SQLiteDatabases) -> None:
    world = build(sqlite_databases.create().engine(), seed=7)
    actors = [Actor(a.id, tenant=a.tenant, teams=a.teams, attributes=a.attributes, roles={"old", "new", "limit"}) for a in world.actors()]

    def seen(who: Actor, *roles: Role) -> set[str]:
        rule, facts = Policies(Loaded(), roles).resolve(who).rule("read", Deal), world.facts(who)
        return {d["id"] for d in world.deals if holds(rule, d, facts)}

    @settings(max_examples=60)
    @given(RULES, RULES)
    def check(first: Rule, second: Rule) -> None:
        old, new, limit = Role("old").allow(Deal, "read", where=first), Role("new").allow(Deal, "read", where=second), Role("limit")
        limit.restrict(Deal, "read", where=second)
        for who in actors:
            before = seen(who, old)
            assert before <= seen(who, old, new)
            assert before >= seen(who, old, limit)

    check()


def test_only_binds_differ_between_actors(world: World, connection: sa.Connection) -> None:
    rule = bind(owner | team | subordinates | related("company", F("region") == actor("region")) | Shared("read", "deal"), spec(Deal))
    statement = selected(world, rule, "exists")
    compiled = statement.compile(connection)
    asked = {name for name in compiled.params if name.startswith("crm_")}
    assert asked == {"crm_me", "crm_tenant", "crm_teams", "crm_grantees", "crm_attr_region_text"}
    assert "u0" not in str(compiled)


@pytest.mark.parametrize("prefix", ["", "a", "%", "_", "\ud7ff", "\U0010ffff", "a\U0010ffff", "中", "a\\"])
def test_a_prefix_is_taken_literally_with_case(world: World, connection: sa.Connection, prefix: str) -> None:
    table = world.tables.entities[Deal]
    texts = [prefix, prefix + "x", prefix.upper() + "X", "b" + prefix, "\ue000", "\U0010ffff\U0010ffff", "a\U0010ffff", "b", "", None]
    ids = [d["id"] for d in world.deals[: len(texts)]]
    for id, text in zip(ids, texts, strict=True):
        connection.execute(table.update().where(table.c.id == id).values(title=text))
    found = set(
        connection.scalars(sa.select(table.c.id).where(to_sql(F("title").startswith(prefix), world.env("in")), table.c.id.in_(ids)))
    )
    assert found == {id for id, text in zip(ids, texts, strict=True) if text is not None and text.startswith(prefix)}
