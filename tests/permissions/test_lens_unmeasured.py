"""A large table of which PostgreSQL has no statistics yet: what a bulk load leaves until autovacuum comes by."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Account, Actor, Role, User, subordinates

SYSTEM = Actor.system("test", tenant="main")
ROWS = 40_000


class Staff:
    """A boss, ten managers and 490 reps below, and 500 people beside them."""

    def users(self, tenant: str, ids: Any = None) -> list[User]:
        below = [User(f"u{i}", "Rep", manager="boss" if i < 10 else f"u{i % 10}") for i in range(500)]
        return [User("boss", "Boss"), *below, *(User(f"x{i}", "Other") for i in range(500))]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


def load(crm: CRM) -> None:
    """Copy one record many times, a fifth of them to the boss's people."""
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a", owner="x0"))
    table = crm.table(Account)
    with crm.bound.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table.name} SET (autovacuum_enabled = off)")
        given = {"id": "gen_random_uuid()", "owner": "CASE WHEN g % 5 = 0 THEN 'u' || g % 500 ELSE 'x' || g % 500 END"}
        columns = ", ".join(given.get(c.name, f'"{c.name}"') for c in table.c)
        names = ", ".join(f'"{c.name}"' for c in table.c)
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({names}) SELECT {columns} FROM {table.name}, generate_series(1, {ROWS}) g".replace("%", "%%")
        )


@pytest.fixture
def crm(make_crm: Any) -> Any:
    made = make_crm(roles=[Role("rep").allow(Account, "read", where=subordinates)], directory=Staff())
    if made.bound.kind == "sqlite":
        pytest.skip("SQLite has no statistics unless one asks for them; its plans are tested without")
    load(made)
    return made


def test_sums_lists_and_pages_take_a_moment_before_the_first_analyze(crm: Any) -> None:
    """Once this took half a minute for 100,000 rows."""
    print(f"postgresql, {ROWS} accounts, no statistics")
    for user in ("boss", "u5", "x1"):
        with crm.session(Actor(user, roles={"rep"}), write=False) as s:
            s._unit.connection.exec_driver_sql("SET LOCAL statement_timeout = 5000")
            began = perf_counter()
            seen = s.query(Account).count()
            groups = s.execute(select(Account.owner, func.count().label("n")).group_by(Account.owner)).all()
            s.query(Account).order_by(Account.created_at.desc()).page(50)
            print(f"{user}: {seen} seen in {(perf_counter() - began) * 1000:.0f} ms")
            assert seen == sum(row.n for row in groups)
            assert seen > 0
            assert user != "boss" or seen == ROWS // 5


def test_with_statistics_the_sets_are_driven_by_indexes_again(crm: Any) -> None:
    def forms() -> str:
        with crm.session(Actor("u5", roles={"rep"}), write=False) as s:
            form: str = s.shape.lens._planner.sets(s._unit.connection).value
            return form

    assert forms() == "scan"
    with crm.bound.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ANALYZE {crm.table(Account).name}")
    assert forms() == "sets"
