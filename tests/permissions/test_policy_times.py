"""What the policy costs over a million records on SQLite: the user who sees almost nothing, the usual ones, and who sees all [S4, S5].

The long form alone: ``CRM_TRUST_LONG=1 pytest tests/permissions/test_policy_times.py``; ``CRM_TRUST_ROWS`` for another number of records.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from sqlalchemy import func, select

from crm_core import CRM, Account, Actor, Entity, Field, MoneyField, Plugin, Role, User, field, owner, subordinates, team
from crm_core.testing.databases import SQLiteDatabases
from tests.figures import LONG, figure
from tests.permissions.doors_world import NOW, SYSTEM

ROWS = int(os.environ.get("CRM_TRUST_ROWS", "1000000"))
PAGES = 100
pytestmark = [pytest.mark.skipif(not LONG, reason="a million records take minutes: CRM_TRUST_LONG=1"), pytest.mark.timeout(1_800)]
plugin = Plugin("large", version="1.0.0")


class Case(Entity):
    name: Field[str]
    stage: Field[str] = field(default="new")
    amount: MoneyField
    owner: Field[str | None] = field(default=None)
    salary: Field[int] = field(default=0)

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("created_at", "id"), ("owner", "created_at", "id"))


plugin.entities(Case)
ROLES = [Role("usual").allow(Case, "read", where=owner | team | subordinates), Role("all").allow(Case, "read").allow(Account, "read")]


class People:
    """A thousand users: 0 above all, five below each; every fifth in one of forty teams. ``sparse`` is nobody's."""

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        for n in range(1, 1000):
            yield User(str(n), str(n), manager=str((n - 1) // 5) if n > 5 else None, teams={f"t{n % 40}"} if n % 5 == 0 else ())
        yield User("sparse", "sparse")

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


def _fill(crm: CRM) -> None:
    chance = random.Random(1)
    ids = crm.runtime.ids
    owners = [str(n) for n in range(1, 1000)]
    stamps = {"tenant": "main", "version": 1, "created_by": "u", "updated_by": "u", "deleted_at": None}
    made = 0
    with crm.bound.begin() as connection:
        while made < ROWS:
            rows = []
            for id_ in ids.many(min(10_000, ROWS - made)):
                made += 1
                who = "sparse" if made == ROWS // 2 else chance.choice(owners)
                at = NOW - timedelta(seconds=chance.randrange(10**8))
                own = {"name": f"case {made}", "stage": chance.choice(["new", "won", "lost"]), "owner": who, "salary": 1}
                amount = {"amount": Decimal(chance.randrange(10**6)), "amount_currency": "EUR"}
                rows.append({"id": id_, "created_at": at, "updated_at": at, **own, **amount, **stamps})
            connection.execute(sa.insert(crm.tables.entities[Case]), rows)
            share = {"tenant": "main", "entity": "large.case", "action": "read", "at": NOW, "actor": "u"}
            shared = [{**share, "record": r["id"], "grantee": f"user:{chance.choice(owners)}"} for r in rows[::3]]
            connection.execute(sa.insert(crm.tables.system.share), shared)


@pytest.fixture(scope="module")
def crm(sqlite_databases: SQLiteDatabases) -> Iterator[CRM]:
    database = sqlite_databases.create()
    made = CRM(database.url, plugins=[plugin], roles=ROLES, directory=People())
    made.migrate()
    _fill(made)
    yield made
    made.close()
    sqlite_databases.drop(database)


def _p95(work: Callable[[], Any], times: int) -> float:
    """Run it once for the caches, then *times* more; return the 95th percentile in ms of processor time, which others do not lengthen."""
    work()
    took = []
    for _ in range(times):
        start = time.thread_time()
        work()
        took.append((time.thread_time() - start) * 1000)
    return statistics.quantiles(took, n=20, method="inclusive")[-1]


USERS = {
    "sparse (1 record)": Actor("sparse", roles={"usual"}),
    "usual (0.1 %, own and shared)": Actor("999", roles={"usual"}),
    "manager (0.6 % and a team)": Actor("195", roles={"usual"}, teams={"t35"}),
    "head (a fifth)": Actor("1", roles={"usual"}),
    "all-seeing": Actor("1", roles={"all"}),
}
AGGREGATES: dict[str, Any] = {
    "count": lambda: select(func.count()).select_from(Case),
    "sum": lambda: select(Case.amount.sum(), func.count()).group_by(Case.amount.currency),
    "sum by stage": lambda: select(Case.stage, Case.amount.sum(), func.count()).group_by(Case.stage, Case.amount.currency),
}


@pytest.mark.parametrize("name", USERS)
def test_a_page_and_an_aggregate_take_what_they_may(crm: CRM, name: str) -> None:
    """[S4] The first page of 50, ten pages deep, and filtered; counts and sums."""
    with crm.session(USERS[name], write=False) as s:
        newest = s.query(Case).order_by(Case.created_at.desc())
        after = None
        for _ in range(10):
            after = newest.page(50, after=after).next or after
        pages = {
            "newest": lambda: newest.page(50),
            "tenth": lambda: newest.page(50, after=after),
            "won": lambda: newest.where(Case.stage == "won").page(50),
        }
        seen = s.query(Case).count()

        def told(what: str, limit: int, times: int, works: dict[str, Callable[[], Any]]) -> dict[str, float]:
            took = {name: _p95(work, times) for name, work in works.items()}
            shown = ", ".join(f"{k} {v:.1f} ms" for k, v in took.items())
            figure(
                f"S4 {what}", database="sqlite", rows=ROWS, cases=times, seed=1, bar=f"p95 <= {limit} ms of processor time",
                result=f"{name}, sees {seen:,}: {shown}", met=max(took.values()) <= limit,
            )  # fmt: skip
            return took

        took = told("page", 20, PAGES, pages)
        told("aggregate", 500, 3, {each: lambda build=build: s.execute(build()).all() for each, build in AGGREGATES.items()})  # type: ignore[misc]  # bound now
        told("page by a field that may be empty", 20, 2, {"by owner": lambda: s.query(Case).order_by(Case.owner).page(50)})
    assert took["newest"] <= 20
    assert took["tenth"] <= 20


def test_the_policy_costs_little_beside_the_same_page_without_one(crm: CRM) -> None:
    """[S5] The page of a manager, and the same page of the physical table by hand."""
    table = crm.tables.entities[Case]
    columns = [c for c in table.c if c.name != "tenant"]
    plain = (
        select(*columns)
        .where(table.c.tenant == "main", table.c.deleted_at.is_(None))
        .order_by(table.c.created_at.desc(), table.c.id.desc())
    )
    with crm.session(SYSTEM, write=False) as system:
        connection = system._unit.connection
        without = _p95(lambda: connection.execute(plain.limit(51)).all(), PAGES)
    costs = {}
    for name, actor in USERS.items():
        with crm.session(actor, write=False) as s:
            query = s.query(Case).order_by(Case.created_at.desc())
            costs[name] = _p95(lambda query=query: query.page(50), PAGES) - without  # type: ignore[misc]  # bound now
    figure(
        "S5 overhead", database="sqlite", rows=ROWS, cases=PAGES, seed=1, bar="p95 <= 5 ms more", met=max(costs.values()) <= 5,
        result=f"without {without:.1f} ms; more with: " + ", ".join(f"{k} {v:.1f} ms" for k, v in costs.items()),
    )  # fmt: skip
