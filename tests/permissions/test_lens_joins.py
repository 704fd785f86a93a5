"""Joins of entities that are both limited by a policy, large, on both databases, with and without statistics."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Account, Actor, Entity, Field, Plugin, Ref, Role, User, field, subordinates
from crm_core.entities.columns import alias
from crm_core.entities.meta import logical_table
from crm_core.rules import related

SYSTEM = Actor.system("test", tenant="main")
ROWS = 40_000
# As many of the rows as each sees: the rep one in 2,500, the boss a fifth, the chief all.
SEEN = {"u5": ROWS // 2500, "boss": ROWS // 5, "chief": ROWS + 1}


class Deal(Entity):
    name: Field[str]
    account: Field[Ref[Account] | None] = field(default=None)


PLUGIN = Plugin("dealing", version="1.0")
PLUGIN.entities(Deal)

JOINS = {
    "join": select(Deal.id, Account.name).join(Account, Account.id == Deal.account),
    "outer join": select(Deal.id, Account.name).outerjoin(Account, Account.id == Deal.account),
    "outer join of the many": select(Account.id, func.count(Deal.id)).outerjoin(Deal, Deal.account == Account.id).group_by(Account.id),
    "join of the many": select(Account.id, Deal.name).join(Deal, Deal.account == Account.id),
    "from both": select(Account.id, Deal.name).where(Deal.account == Account.id),
    "page": select(Deal.id, Account.name).join(Account, Account.id == Deal.account).order_by(Deal.name, Deal.id).limit(ROWS * 2),
    "semi-join": select(Deal.id).where(Deal.account.in_(select(Account.id).where(Account.name == "a"))),
    "exists": select(Account.id).where(select(Deal.id).where(Deal.account == Account.id).exists()),
    "self-join": select(Deal.id, (other := alias(Deal)).name).join(other, other.id == Deal.id),
}


class Staff:
    """A chief of all; a boss with 500 reps below; 500 people beside them."""

    def users(self, tenant: str, ids: Any = None) -> list[User]:
        reps = [User(f"u{i}", "Rep", manager="boss") for i in range(500)]
        others = [User(f"x{i}", "Other", manager="chief") for i in range(500)]
        return [User("chief", "Chief"), User("boss", "Boss", manager="chief"), *reps, *others]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


def load(crm: CRM) -> None:
    """Copy an account and its deal many times, a fifth of them to the boss's people."""
    with crm.session(SYSTEM) as s:
        s.create(Deal(name="d", account=Ref(Account, s.create(Account(name="a", owner="x0")).id)))
    postgresql = crm.bound.kind == "postgresql"
    owner = "CASE WHEN g % 5 = 0 THEN 'u' || ((g / 5) % 500) ELSE 'x' || (g % 500) END"

    def number(kind: int, count: str) -> str:
        digits = f"lpad(to_hex({count}), 12, '0')" if postgresql else f"printf('%012x', {count})"
        text = f"('00000000-0000-7000-{kind}000-' || {digits})"
        return f"CAST({text} AS uuid)" if postgresql else text

    copies = {
        crm.table(Account): {"id": number(8, "g"), "owner": owner},
        crm.table(Deal): {"id": number(9, "g"), "account": number(8, f"1 + (g * 7919) % {ROWS}")},
    }
    numbers = f"WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < {ROWS})"
    with crm.bound.begin() as connection:
        for table, given in copies.items():
            if postgresql:
                connection.exec_driver_sql(f"ALTER TABLE {table.name} SET (autovacuum_enabled = off)")
            names = ", ".join(f'"{c.name}"' for c in table.c)
            values = ", ".join(given.get(c.name, f'o."{c.name}"') for c in table.c)
            insert = f"INSERT INTO {table.name} ({names}) {numbers} SELECT {values} FROM (SELECT * FROM {table.name} LIMIT 1) o, n"
            connection.exec_driver_sql(insert.replace("%", "%%") if postgresql else insert)


@pytest.fixture
def crm(make_crm: Any) -> Any:
    rep = Role("rep").allow(Account, "read", where=subordinates).allow(Deal, "read", where=related("account", subordinates))
    made = make_crm(plugins=[PLUGIN], roles=[rep], directory=Staff())
    load(made)
    return made


@pytest.mark.parametrize("measured", [False, True], ids=["no statistics", "statistics"])
def test_a_join_of_two_limited_entities_takes_a_moment_and_has_the_rows_that_are_seen(crm: Any, measured: bool) -> None:
    """Once SQLite took five minutes for 100,000 rows, and PostgreSQL without statistics longer than anybody waits."""
    if measured:
        with crm.bound.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
    print(f"{crm.bound.kind}, {ROWS} accounts and deals, statistics: {measured}")
    for user, seen in SEEN.items():
        with crm.session(Actor(user, roles={"rep"}), write=False) as s:
            for name, statement in JOINS.items():
                began = perf_counter()
                rows = len(s.execute(statement).all())
                seconds = perf_counter() - began
                print(f"{user}, {name}: {rows} rows in {seconds * 1000:.0f} ms")
                assert rows == seen
                assert seconds < 20, "minutes, where the plan is wrong"


def test_what_sqlite_joins_is_looked_up_by_the_join_and_not_by_the_set(crm: Any) -> None:
    if crm.bound.kind != "sqlite":
        pytest.skip("PostgreSQL chooses by costs")
    with crm.session(Actor("boss", roles={"rep"}), write=False) as s:
        lens, connection = s.shape.lens, s._unit.connection
        context: Any = lens.execute(connection, JOINS["join"], s.binds).context
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {context.statement}", tuple(context.parameters[0])).all()
    steps = [row[3] for row in rows if row[1] == 0 and "SUBQUERY" not in row[3]]
    name = logical_table(Deal).name
    assert steps[:2] == [f"MATERIALIZE {name}", f"SCAN {name}"]
    assert steps[2].startswith("SEARCH crm_account USING INDEX")
    assert "id=?" in steps[2]
