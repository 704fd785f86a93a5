"""What the policy costs over a million records on SQLite: the user who sees almost nothing, the usual ones, and who sees all [S4, S5].

The short form has 50,000, tells the times, and asserts the answers; ``CRM_TRUST_LONG=1`` has a million and asserts the times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Account, Actor, Entity, Field, MoneyField, Plugin, Role, Session, User, field, owner, subordinates, team
from crm_core.permissions.plans import Form
from crm_core.testing.databases import SQLiteDatabases
from tests.figures import LONG, figure
from tests.permissions.doors_world import SYSTEM

ROWS = 1_000_000 if LONG else 50_000
PAGES = 100 if LONG else 20
pytestmark = pytest.mark.timeout(1_800)
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

    def __init__(self) -> None:
        self.managers: dict[str, str] = {}

    def lead(self, who: str, manager: str) -> None:
        self.managers[who] = manager

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        for n in range(1, 1000):
            yield User(str(n), str(n), manager=str((n - 1) // 5) if n > 5 else None, teams={f"t{n % 40}"} if n % 5 == 0 else ())
        yield User("sparse", "sparse", manager=self.managers.get("sparse"))
        yield User("new", "new")

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows),
r AS (
    SELECT i, (i * 1103515245 + 12345) & 2147483647 AS a, (i * 69069 + 1) & 2147483647 AS b,
        (i * 1664525 + 1013904223) & 2147483647 AS c FROM n
)
INSERT INTO crm_large_case
    (id, tenant, version, created_at, created_by, updated_at, updated_by, name, stage, amount, amount_currency, owner, salary)
SELECT printf('01a2042c-de59-7e5d-8190-%012x', i), 'main', 1, at, 'u', at, 'u', 'case ' || i,
    CASE (b >> 9) % 3 WHEN 0 THEN 'new' WHEN 1 THEN 'won' ELSE 'lost' END, (c >> 7) % 1000000 * 1000000, 'EUR',
    CASE WHEN i = :rows / 2 THEN 'sparse' ELSE 1 + (a >> 8) % 999 END, 1
FROM (SELECT *, strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', 1772323200 - (a >> 3) % 100000000, 'unixepoch') AS at FROM r)
"""
SHARES = """
INSERT INTO crm_share (tenant, entity, record, grantee, action, at, actor)
SELECT 'main', 'large.case', id, 'user:' || (1 + rowid * 7919 % 999), 'read', created_at, 'u' FROM crm_large_case WHERE rowid % 3 = 0
"""
INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('crm_large_case', 'crm_share')"


def _fill(crm: CRM) -> None:
    """Let SQLite make the rows itself, and the indexes when they are there."""
    with crm.bound.begin() as connection:
        indexes = [tuple(row) for row in connection.exec_driver_sql(INDEXES)]
        for name, _ in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        connection.exec_driver_sql(FILL, {"rows": ROWS})
        connection.exec_driver_sql(SHARES)
        for _, sql in indexes:
            connection.exec_driver_sql(sql)


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
    "six owners, and what is shared": Actor("190", roles={"usual"}),
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
    """[S4] The first page of 50, ten pages deep, filtered, and by a field that may be empty; counts and sums."""
    with crm.session(USERS[name], write=False) as s:
        newest = s.query(Case).order_by(Case.created_at.desc())
        after = None
        for _ in range(10):
            after = newest.page(50, after=after).next or after
        pages = {
            "newest": lambda: newest.page(50),
            "tenth": lambda: newest.page(50, after=after),
            "won": lambda: newest.where(Case.stage == "won").page(50),
            "by owner": lambda: s.query(Case).order_by(Case.owner).page(50),
            "by owner down": lambda: s.query(Case).order_by(Case.owner.desc()).page(50),
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
        sums = told("aggregate", 500, 3, {each: lambda build=build: s.execute(build()).all() for each, build in AGGREGATES.items()})  # type: ignore[misc]  # bound now
    if LONG:
        assert max(took.values()) <= 20
        assert name.startswith("head") or max(sums["count"], sums["sum"]) <= 500


@pytest.mark.parametrize("name", USERS)
def test_whatever_the_plan_the_answer_is_the_same(crm: CRM, name: str) -> None:
    """[S4] The form that was chosen by measurement says what the policy row by row says."""
    with crm.session(USERS[name], write=False) as s:
        for build in AGGREGATES.values():
            point = s.shape.lens.execute(s._unit.connection, build(), s.binds, form=Form.POINT).all()
            assert sorted(map(repr, s.execute(build()))) == sorted(map(repr, point))
        chosen, _ = s.shape.lens._planner.choose(s._unit.connection, AGGREGATES["sum"](), s.binds)
        page = select(Case.id).order_by(Case.created_at.desc(), Case.id.desc()).limit(51)
        form, _ = s.shape.lens._planner.choose(s._unit.connection, page, s.binds)
        walked = s.shape.lens.execute(s._unit.connection, page, s.binds, form=Form.WALK).all()
        assert s.execute(page).all() == walked
    assert (chosen is Form.SCAN) == name.startswith("all")
    assert not LONG or (form is Form.TOP) == name.startswith(("sparse", "usual", "six"))


def test_a_change_of_what_one_may_takes_effect_within_a_second(crm: CRM) -> None:
    """[S5] A role of the tenant, a share and the directory, as another process sees them."""
    other = CRM(crm.url, plugins=[plugin], roles=ROLES, directory=(people := People()))
    me, system = Actor("new", roles={"told"}), Actor.system("setup", tenant="main")

    def waits(change: Callable[[Session], Any], sees: Callable[[], bool]) -> float:
        assert not sees()
        with crm.session(system) as s:
            change(s)
        started = time.monotonic()
        while not sees():
            assert time.monotonic() - started < 5
            time.sleep(0.02)
        return time.monotonic() - started

    def counts(at_least: int) -> bool:
        with other.session(me, write=False) as s:
            return s.query(Case).count() >= at_least

    with crm.session(system) as s:
        (case,) = s.query(Case).where(Case.owner == "sparse").all()
    took = {
        "a role": waits(
            lambda s: s.define_role(Role("told").allow(Case, "read", where=owner | subordinates)), lambda: other_knows(other, me)
        ),
        "a share": waits(lambda s: s.share(case, "user:new"), lambda: counts(1)),
        "a manager": waits(lambda s: people.lead("sparse", "new"), lambda: counts(1) and leads(other, me)),
    }
    other.close()
    shown = ", ".join(f"{k} {v:.2f} s" for k, v in took.items())
    figure("S5 effective", database="sqlite", cases=len(took), result=shown, bar="<= 1 s in all processes", met=max(took.values()) <= 1.1)
    assert max(took.values()) <= 2


def other_knows(crm: CRM, actor: Actor) -> bool:
    with crm.session(actor, write=False) as s:
        return s.can("read", Case)


def leads(crm: CRM, actor: Actor) -> bool:
    with crm.session(actor, write=False) as s:
        return s.people["sparse"].manager == actor.id


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
        newest = [row.id for row in connection.execute(plain.limit(50))]
    costs, pages = {}, {}
    for name, actor in USERS.items():
        with crm.session(actor, write=False) as s:
            query = s.query(Case).order_by(Case.created_at.desc())
            costs[name] = _p95(lambda query=query: query.page(50), PAGES) - without  # type: ignore[misc]  # bound now
            pages[name] = [case.id for case in query.page(50).items]
    assert pages["all-seeing"] == newest, "it is the same page"
    assert all(0 < len(page) <= 50 for page in pages.values())
    figure(
        "S5 overhead", database="sqlite", rows=ROWS, cases=PAGES, seed=1, bar="p95 <= 5 ms more", met=max(costs.values()) <= 5,
        result=f"without {without:.1f} ms; more with: " + ", ".join(f"{k} {v:.1f} ms" for k, v in costs.items()),
    )  # fmt: skip
