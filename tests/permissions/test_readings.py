"""Both readings of a rule say the same of every record: what SQL selects is what Python lets pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings

from crm_core.entities.meta import spec
from crm_core.permissions.binding import bind
from crm_core.permissions.predicates import Rule, Shared, everything, owner, related, team
from crm_core.permissions.to_python import holds
from crm_core.permissions.to_sql import binds, tenant_bind, to_sql
from tests.databases import Database

from .world import RULES, Deal, World, build

RULES_PER_DATABASE = 300


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
    counted = {"cases": 0, "rows": 0, "seen": 0}

    @settings(max_examples=RULES_PER_DATABASE)
    @given(RULES)
    @example(Shared("read", "deal") | owner)
    @example(~Shared("update", "deal"))
    @example(related("company", everything) & ~team)
    def check(rule: Rule) -> None:
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
    print(f"{connection.dialect.name}: {counted}, seed {world.seed}")
    assert counted["cases"] >= 2000
    assert 0 < counted["seen"] < counted["rows"]
