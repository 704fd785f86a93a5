# mypy: disable-error-code="attr-defined"
"""One policy in three forms: they mean the same, and each statement gets the one that suits it."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import and_, bindparam, func, or_, select

from crm_core.entities.columns import alias
from crm_core.entities.meta import logical_table
from crm_core.entities.sqltypes import IdType
from crm_core.errors import NotReadable, Refused
from crm_core.permissions.lens import Lens
from crm_core.permissions.plans import PAGES_A_PROBE, Form, Planner
from crm_core.permissions.unions import branches
from crm_core.testing.databases import Database
from tests.permissions.lens_world import KINDS, Company, Deal, Firm, actor

BY_NAME = {kind.name: kind for kind in KINDS}
DEALS = logical_table(Deal)
f2 = alias(Firm)

STATEMENTS = {
    "by id": (select(Deal.id).where(Deal.id == "x"), Form.POINT, None),
    "by ids": (select(Deal.id).where(Deal.open, Deal.id.in_(["x"])), Form.POINT, None),
    "by a reference": (select(Deal.id).where(and_(Deal.open, Deal.firm == "x")), Form.POINT, None),
    "by an indexed field": (select(Deal.id).where(Deal.owner == "x").order_by(Deal.id).limit(5), Form.TOP, DEALS),
    "by an indexed field and more": (select(Deal.id).where(Deal.owner == "x", func.lower(Deal.name) == "y"), Form.POINT, None),
    "by id with a limit": (select(Deal.id).where(Deal.id == "x").order_by(Deal.id).limit(2), Form.POINT, None),
    "count": (select(func.count()).select_from(DEALS), Form.SETS, None),
    "aggregate of a join": (select(func.count()).select_from(Deal).outerjoin(Firm, Firm.id == Deal.firm), Form.SETS, None),
    "list": (select(Deal.id).where(Deal.stage == "won"), Form.SETS, None),
    "union": (sa.union_all(select(Deal.id), select(Firm.id)), Form.SETS, None),
    "page": (select(Deal.id).order_by(Deal.id).limit(5), Form.WALK, DEALS),
    "page backwards": (select(Deal.id).order_by(Deal.owner.desc(), Deal.id.desc()).limit(5), Form.WALK, DEALS),
    "joined page": (select(Deal.id, Firm.name).outerjoin(Firm, Firm.id == Deal.firm).order_by(Deal.id).limit(5), Form.WALK, DEALS),
    "page by what has no index": (select(Deal.id).order_by(Deal.chance, Deal.id).limit(5), Form.TOP, DEALS),
    "page by what has no index, from the second on": (select(Deal.id).order_by(Deal.chance).limit(5).offset(1), Form.SETS, DEALS),
    "page of some": (select(Deal.id).where(Deal.stage == "won", Deal.chance > 3).order_by(Deal.chance).limit(5), Form.TOP, DEALS),
    "page of a joined table": (select(Deal.id).join(Firm, Firm.id == Deal.firm).order_by(Deal.chance).limit(5), Form.SETS, DEALS),
    "page by another table": (select(Deal.id).where(Firm.name == "x").order_by(Deal.chance).limit(5), Form.SETS, DEALS),
    "page of an alias": (select(f2.id).order_by(f2.id).limit(5), Form.SETS, None),
    "limit without order": (select(Deal.id).limit(1), Form.SETS, None),
    "page by an expression": (select(Deal.id).order_by(func.lower(Deal.name)).limit(1), Form.SETS, None),
}


def planner_of(tables: dict[Any, Any], sees_few: Any) -> Planner:
    return Planner({logical: table.name for logical, table in tables.items()}, tables.__getitem__, sees_few, lambda *_: 0)


@pytest.fixture
def company(database: Database) -> Company:
    return Company(database.engine())


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_statement_gets_the_form_that_suits_it(sqlite_databases: Any, name: str) -> None:
    database = sqlite_databases.create()
    tables = Company(database.engine(), firms=1, deals=0).tables.entities
    statement, form, driver = STATEMENTS[name]
    with database.engine().connect() as connection:
        planner = planner_of({logical_table(e): tables[e] for e in (Deal, Firm)}, lambda *_: False)
        assert planner.choose(connection, statement, actor("u1")) == (form, driver)
        sparse = planner_of({logical_table(e): tables[e] for e in (Deal, Firm)}, lambda *_: True)
        sparse_form = form if form is not Form.WALK else Form.SETS if "joined" in name else Form.TOP
        assert sparse.choose(connection, statement, actor("u1")) == (sparse_form, driver)
        free = planner_of({}, lambda *_: False)
        assert free.choose(connection, statement, actor("u1")) == (Form.POINT, None)
    sqlite_databases.drop(database)


PAGES = {
    "all": select(Deal.id, Deal.name).order_by(Deal.chance, Deal.id),
    "one stage": select(Deal.id, Deal.name).where(Deal.stage == "won").order_by(Deal.chance.desc(), Deal.id.desc()),
    "of an owner": select(Deal.id).where(Deal.owner == "u2").order_by(Deal.id),
    "beyond": select(Deal.id)
    .where(or_(Deal.chance > 40, and_(Deal.chance == 40, Deal.id > "80000000-0000-0000-0000-000000000000")))
    .order_by(Deal.chance, Deal.id),
    "newest": select(Deal.id).order_by(Deal.id.desc()),
    "newest won": select(Deal.id).where(Deal.stage == "won", Deal.owner.is_not(None)).order_by(Deal.id.desc()),
    "by owner": select(Deal.id, Deal.owner).order_by(Deal.owner.desc(), Deal.id.desc()),
    "nulls last": select(Deal.id, Deal.owner).where(Deal.open, Deal.chance != 7).order_by(Deal.owner.is_(None), Deal.owner, Deal.id),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_first_rows_of_each_set_hold_the_page(company: Company, kind: Any) -> None:
    lens = company.lens(kind)
    seen = 0
    with company.engine.connect() as connection:
        for page in PAGES.values():
            for size in (1, 3, 200):
                for user in ("u1", "u2", "u9"):
                    expected = lens.execute(connection, page.limit(size), actor(user), form=Form.POINT).all()
                    assert lens.execute(connection, page.limit(size), actor(user)).all() == expected
                    seen += len(expected)
    assert (seen > 0) is (kind.name != "sees nothing")


def test_a_user_is_probed_once_in_many_pages(company: Company) -> None:
    asked: list[str] = []

    def sees_few(_: Any, __: Any, ___: Any, params: Any) -> bool:
        asked.append(params["crm_me"])
        return True

    planner = planner_of({DEALS: company.tables.entities[Deal]}, sees_few)
    with company.engine.connect() as connection:
        for _ in range(PAGES_A_PROBE + 1):
            for me in ("u1", "u2"):
                planner.choose(connection, STATEMENTS["page"][0], actor(me))
    assert asked == ["u1", "u2"] * 2


def test_the_branches_of_a_condition_are_the_condition() -> None:
    a, b, c, d = (sa.column(n) == 1 for n in "abcd")

    def texts(condition: Any) -> list[str]:
        return [str(part.compile(compile_kwargs={"literal_binds": True})) for part in branches(condition)]

    assert texts(a) == ["a = 1"]
    assert texts(or_(a, b, or_(c, d))) == ["a = 1", "b = 1", "c = 1", "d = 1"]
    assert texts(and_(a, b)) == ["a = 1 AND b = 1"]
    assert texts(and_(or_(a, b), c)) == ["a = 1 AND c = 1", "b = 1 AND c = 1"]
    assert texts(or_(and_(or_(a, b), c), d)) == ["a = 1 AND c = 1", "b = 1 AND c = 1", "d = 1"]
    assert texts(sa.not_(or_(a, b))) == ["NOT (a = 1 OR b = 1)"]


def plan(lens: Lens, company: Company, statement: Any, form: Form) -> str:
    with company.engine.connect() as connection:
        result = lens.execute(connection, statement, actor("u1"), form=form)
        context: Any = result.context
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {context.statement}", tuple(context.parameters[0])).all()
    return "\n".join(row[3] for row in rows)


def test_on_sqlite_sets_go_by_indexes_and_a_walk_needs_no_sort(sqlite_databases: Any) -> None:
    database = sqlite_databases.create()
    company = Company(database.engine())
    lens = company.lens(BY_NAME["shares"])
    page = select(Deal.id, Deal.name).order_by(Deal.id).limit(5)
    sets = plan(lens, company, select(func.count()).select_from(Deal), Form.SETS)
    assert "INTEGER PRIMARY KEY (rowid=?)" in sets.splitlines()[0]
    assert "crm_deal_tenant_owner_id_idx (tenant=? AND owner=?)" in sets
    assert "crm_share_grantee (tenant=? AND entity=? AND grantee=? AND action=?)" in sets
    walk = plan(lens, company, page, Form.WALK)
    assert "TEMP B-TREE FOR ORDER BY" not in walk
    assert "USING INDEX crm_deal_tenant_id_idx (tenant=?)" in walk
    assert "CORRELATED" in plan(lens, company, page, Form.POINT)
    assert "CORRELATED" not in walk
    sqlite_databases.drop(database)


def test_a_user_who_sees_few_gets_the_same_page_as_one_who_is_thought_to_see_many(company: Company) -> None:
    kind = BY_NAME["subordinates and team"]
    lens = company.lens(kind)
    pages = []
    with company.engine.connect() as connection:
        for form in (None, *Form):
            statement = select(Deal.id, Firm.name).outerjoin(Firm, Firm.id == Deal.firm).order_by(Deal.owner.desc(), Deal.id).limit(9)
            pages.append(lens.execute(connection, statement, actor("u1"), form=form).all())
    assert pages[1:] == pages[:-1]
    assert len(pages[0]) == 9


def test_a_prepared_read_answers_as_the_statement_does(company: Company) -> None:
    kind = BY_NAME["shares"]
    lens = company.lens(kind)
    statement = select(Deal.name, Deal.chance).where(Deal.id == bindparam("record_id", type_=IdType()))
    prepared = lens.prepare(statement)
    with company.engine.begin() as connection:
        for row in company.data.deals[:60]:
            values = actor("u2") | {"record_id": row["id"]}
            assert prepared.fetch(connection, values) == [tuple(r) for r in lens.execute(connection, statement, values)]
        assert prepared.fetch(connection, {"record_id": company.data.deals[0]["id"]}) == []


def test_a_statement_whose_text_depends_on_values_cannot_be_prepared(company: Company) -> None:
    lens = company.lens(BY_NAME["hidden and masked"])
    with pytest.raises(Refused) as problem:
        lens.prepare(select(Deal.id).where(Deal.id.in_(["x"])))
    assert problem.value.code == "not_preparable"
    with pytest.raises(NotReadable):
        lens.prepare(select(Firm.salary))
    with pytest.raises(Refused):
        lens.prepare(select(company.tables.entities[Deal].c.id))


def test_raw_rows_are_those_of_the_driver(company: Company) -> None:
    lens = company.lens(BY_NAME["owner"])
    statement = select(Deal.name, Deal.chance).order_by(Deal.name)
    with company.engine.connect() as connection:
        raw = lens.raw(connection, statement, actor("u1"))
        assert [tuple(r) for r in raw] == [tuple(r) for r in lens.execute(connection, statement, actor("u1"))]
    assert raw


def test_on_postgresql_the_page_of_a_user_who_sees_few_is_found_before_it_is_sorted(company: Company) -> None:
    lens = company.lens(BY_NAME["shares"])
    with company.engine.connect() as connection:
        result = lens.execute(connection, select(Deal.id).order_by(Deal.id).limit(3), actor("u1"))
        context: Any = result.context
    fenced = "OFFSET" in context.statement.rsplit(") AS ", 1)[0].splitlines()[-1]
    assert fenced == (company.engine.dialect.name == "postgresql")
