"""A hidden field does not exist, and a masked one says nothing, in every place where a field's name can stand [S3]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import case, func, literal, select

from crm_analytics.api import Analytics, Report
from crm_core import Account, CRMError, Money, Session, alias
from crm_core.entities.meta import logical_table
from crm_core.io import Importer, export, mapping_of
from crm_core.rules import F, criterion
from tests.permissions.doors_world import KINDS, SYSTEM, Deal, World, opened

SALARY, PHONE = 8_234_517, "+49 30 8234517"
Place = Callable[[Session, World, str], Any]
_other = alias(Deal, "other")


def _column(name: str, entity: Any = Deal) -> Any:
    return getattr(entity, name)


def _export(s: Session, w: World, *fields: str) -> str:
    path = w.folder / "out.csv"
    export(s, s.query(Deal), path, fields=fields)
    return path.read_text()


def _import(s: Session, w: World, name: str, **mapping: Any) -> Any:
    path = w.folder / "in.csv"
    path.write_text(f"id,name,secret\n1,deal,{SALARY if name == 'salary' else PHONE}\n")
    report = Importer(s.crm, s.actor, mapping_of({"fields": {"name": "name", name: "secret"}, **mapping}), entity="office.deal").run(
        path, dry_run=True, within=s
    )
    return [report.updated, report.created, *(str(f.error) for f in report.failures)]


def _deal(w: World, **given: Any) -> Deal:
    return Deal(**{"name": "x", "account": w.of(Account)[0].ref, "amount": Money(1, "EUR"), **given})


def _mine(w: World) -> Any:
    return w.of(Deal, w.visible)[0]


NAMED: dict[str, Place] = {
    "select": lambda s, w, f: s.execute(select(_column(f))).all(),
    "select of an alias": lambda s, w, f: s.execute(select(_column(f, _other))).all(),
    "table": lambda s, w, f: s.execute(select(logical_table(Deal).c[f])).all(),
    "where": lambda s, w, f: s.query(Deal).where(_column(f).is_not(None)).count(),
    "where equal": lambda s, w, f: s.query(Deal).where(_column(f) == (SALARY if f == "salary" else PHONE)).count(),
    "sort": lambda s, w, f: s.query(Deal).order_by(_column(f)).all(),
    "sort of a page": lambda s, w, f: s.query(Deal).order_by(_column(f).desc()).page(3).next,
    "group": lambda s, w, f: s.execute(select(func.count()).select_from(Deal).group_by(_column(f))).all(),
    "having": lambda s, w, f: s.execute(select(Deal.stage).group_by(Deal.stage).having(func.max(_column(f)) > literal("0"))).all(),
    "aggregate": lambda s, w, f: s.execute(select(func.max(_column(f)))).all(),
    "count of": lambda s, w, f: s.execute(select(func.count(_column(f).distinct()))).all(),
    "computed": lambda s, w, f: s.execute(select(func.length(_column(f)))).all(),
    "case": lambda s, w, f: s.execute(select(case((_column(f).is_(None), 1), else_=0))).all(),
    "coalesced": lambda s, w, f: s.execute(select(func.coalesce(_column(f), _column(f)))).all(),
    "window": lambda s, w, f: s.execute(select(func.row_number().over(order_by=_column(f)))).all(),
    "join": lambda s, w, f: s.execute(select(Deal.id).join(_other, _column(f) == _column(f, _other))).all(),
    "subquery": lambda s, w, f: s.execute(select((i := select(_column(f).label("x")).subquery()).c.x).where(i.c.x.is_not(None))).all(),
    "rule of a query": lambda s, w, f: s.query(Deal).where(criterion(F(f).is_null(), Deal, s)).count(),
    "report's filter": lambda s, w, f: s.use(Analytics).json(Report(metrics=["office.deals"], where=F(f).is_null())),
    "update": lambda s, w, f: s.update(Deal, _mine(w).id, {f: 5 if f == "salary" else "5"}),
    "update where": lambda s, w, f: s.update_where(s.query(Deal).where(_column(f).is_not(None)), {"name": "x"}),
    "create": lambda s, w, f: s.create(_deal(w, **{f: 5 if f == "salary" else "5"})),
    "upsert on": lambda s, w, f: s.upsert(_deal(w), on=f),
    "import": lambda s, w, f: _import(s, w, f, key="k:{id}"),
    "import key": lambda s, w, f: _import(s, w, f, match=f),
}
OF_THE_MASK = ("select", "select of an alias", "table", "aggregate", "count of", "computed", "case", "coalesced", "window", "subquery")
FROM_OUTSIDE: dict[str, Place] = {
    "filter": lambda s, w, f: s.query(Deal).matching({f: "5"}, allow=[f]).count(),
    "filter from": lambda s, w, f: s.query(Deal).matching({f"{f}__gte": "5"}, allow=["name", f]).count(),
    "filter begins": lambda s, w, f: s.query(Deal).matching({f"{f}__startswith": "+"}, allow=[f]).count(),
    "query string's sort": lambda s, w, f: s.query(Deal).matching({"sort": f}, allow=[f]).all(),
    "change": lambda s, w, f: s.update(Deal, _mine(w).id, {f: 5}),
    "export": lambda s, w, f: _export(s, w, "name", f),
}
OPEN: dict[str, Place] = {
    "record": lambda s, w, f: [repr(d) + str(s.crm.to_json(d)) for d in s.query(Deal).all()],
    "record by id": lambda s, w, f: repr(s.get(Deal, _mine(w).id)),
    "locked": lambda s, w, f: repr(s.lock(Deal, _mine(w).id)),
    "written": lambda s, w, f: repr(s.update(Deal, _mine(w).id, {"name": "y"})) + repr(s.save(s.get(Deal, _mine(w).id))),
    "export of all": lambda s, w, f: _export(s, w),
    "form": lambda s, w, f: s.describe(Deal),
    "panel": lambda s, w, f: [str(s.crm.to_json(s.view360(a.ref))) for a in s.query(Account).all()],
    "view of the past": lambda s, w, f: str(s.crm.to_json(s.view360(_mine(w).ref, at=s.crm.runtime.clock.now()))),
    "report's measure": lambda s, w, f: s.use(Analytics).json(Report(metrics=["office.salaries"])),
    "report's dimension": lambda s, w, f: s.use(Analytics).json(Report(metrics=["office.deals"], by=["office.phone"])),
    "conflict": lambda s, w, f: s.update(Deal, _mine(w).id, {"name": "z"}, version=7),
    "taken": lambda s, w, f: s.create(_deal(w, code=w.of(Deal)[-1].code)),
    "preloaded": lambda s, w, f: [str(s.crm.to_json(d, expand=["account"])) for d in s.query(Deal).preload(Deal.account).all()],
}


class _Undo(Exception):
    """Ends a session whose work is not to stay."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    databases = request.getfixturevalue("sqlite_databases" if request.param == "sqlite" else "postgres_databases")
    kind = KINDS[0]
    found = opened(databases, 1, tmp_path_factory.mktemp("files"), kind.role())
    with found.crm.session(SYSTEM) as s:
        for deal in found.of(Deal):
            s.update(Deal, deal.id, {"salary": SALARY, "phone": PHONE})
    found.stand_as(kind)
    yield found
    found.crm.close()


def _asked(world: World, place: Place, name: str) -> tuple[str, CRMError | None]:
    found: list[tuple[str, CRMError | None]] = []

    def ask(s: Session) -> None:
        try:
            found.append((str(place(s, world, name)), None))
        except CRMError as e:
            found.append((f"{e} {e.problem()} {e.params} {[(d.value, d.params) for d in e.details]}", e))
        raise _Undo

    with pytest.raises(_Undo), world.crm.session(KINDS[0].actor) as s:
        ask(s)
    return found[0]


@pytest.mark.parametrize("place", NAMED)
@pytest.mark.parametrize("name", ["salary", "phone"])
def test_a_hidden_or_masked_field_is_of_no_use_where_it_is_named(world: World, place: str, name: str) -> None:
    """In a list of columns a masked field is its mask, also for a function; all else is refused, and all of a hidden one."""
    said, error = _asked(world, NAMED[place], name)
    assert str(SALARY) not in said
    assert PHONE not in said
    assert (error is None) == (name == "phone" and place in OF_THE_MASK) or place.startswith("import"), said


@pytest.mark.parametrize("place", FROM_OUTSIDE)
def test_a_hidden_field_named_from_outside_gives_the_error_of_one_that_is_not_there(world: World, place: str) -> None:
    hidden, unknown = (_asked(world, FROM_OUTSIDE[place], name)[0] for name in ("salary", "nonsense"))
    assert hidden.replace("salary", "nonsense") == unknown
    assert str(SALARY) not in hidden


@pytest.mark.parametrize("place", OPEN)
def test_nothing_that_comes_back_has_the_value_of_a_hidden_or_masked_field(world: World, place: str) -> None:
    said, _ = _asked(world, OPEN[place], "")
    assert str(SALARY) not in said
    assert PHONE not in said
    assert "8234517" not in said


def test_who_may_read_the_fields_gets_them_by_the_same_places(world: World) -> None:
    """The places do show what is not hidden: else the tests above would prove nothing."""
    with world.crm.session(SYSTEM, write=False) as s:
        for place in ("select", "where", "sort", "aggregate", "group", "rule of a query", "window"):
            assert NAMED[place](s, world, "salary") is not None
        assert s.execute(select(func.max(Deal.salary))).scalar() == SALARY
        assert s.query(Deal).matching({"phone__startswith": "+49"}, allow=["phone"]).count() == len(world.of(Deal))
