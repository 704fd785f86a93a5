"""Every form of select we could think of, over firms and deals: those that a lens answers, and those that it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Integer,
    String,
    Text,
    and_,
    between,
    bindparam,
    case,
    cast,
    distinct,
    except_,
    exists,
    extract,
    false,
    func,
    intersect,
    lateral,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
    union,
    union_all,
)

from crm_core.entities.columns import alias
from crm_core.entities.money import Money
from tests.permissions.lens_world import NOW, Seen

Form = tuple[str, Any]


def again(entity: Any, name: str | None = None) -> Any:
    """Alias an entity, or its true copy."""
    return entity.alias(name) if isinstance(entity, Seen) else alias(entity, name)


def read_forms(f: Any, d: Any, kind: str) -> Iterator[Form]:
    """Yield selects on firms *f* and deals *d*; those whose name begins with "ordered" answer in order."""
    yield from plain(f, d)
    yield from joins(f, d)
    yield from nested(f, d)
    yield from grouped(f, d)
    yield from computed(f, d)
    yield from arranged(f, d)
    yield from of_money(f, d)
    if kind == "postgresql":
        yield from of_postgresql(f, d)


def plain(f: Any, d: Any) -> Iterator[Form]:
    """Columns and conditions."""
    d2 = again(d)
    yield "columns", select(d.id, d.name)
    yield "whole entity", select(d)
    yield "whole entities joined", select(d, f.id).join(f, f.id == d.firm)
    yield "whole alias", select(d2)
    yield "where bind", select(d.id).where(d.chance > 50)
    yield "where and or not", select(d.id).where(and_(or_(d.chance > 50, d.stage == "won"), not_(d.open)))
    yield "where null", select(d.id).where(d.firm.is_(None), d.signed.is_not(None))
    yield "where in list", select(d.id).where(d.stage.in_(["won", "lost"]))
    yield "where in empty list", select(d.id).where(d.stage.in_([]))
    yield "where not in list", select(d.id).where(d.stage.not_in(["won"]))
    yield "between", select(d.id).where(between(d.chance, 20, 60))
    yield "like", select(f.id).where(f.name.like("A%"))
    yield "startswith", select(f.id).where(f.name.startswith("a_b%", autoescape=True))
    yield "contains", select(f.id).where(f.name.contains("c"))
    yield "is distinct from", select(d.id).where(d.firm.is_distinct_from(null()))
    yield "instants compare", select(d.id).where(d.signed > NOW - timedelta(days=60))
    yield "dates compare", select(d.id).where(d.closes < NOW.date())
    yield "decimals compare", select(d.id).where(d.discount >= Decimal("50.5"))
    yield "booleans", select(d.id).where(d.open.is_(True))
    yield "enums of text", select(func.count(distinct(d.stage)))
    yield "json item", select(d.id).where(d.facts["source"].as_string() == "web")
    yield "json number", select(func.sum(d.facts["n"].as_integer()))
    yield "alias", select(d2.id)


def joins(f: Any, d: Any) -> Iterator[Form]:
    """Joins and subqueries of every kind."""
    f2 = again(f, "f2")
    d2 = again(d)
    yield "self join", select(f2.id, f.name).join(f, f2.parent == f.id)
    yield "self outer join", select(f.id, f2.name).outerjoin(f2, f2.id == f.parent)
    yield "join", select(d.id, f.name).join(f, f.id == d.firm)
    yield "join from", select(d.id, f.name).join_from(d, f, f.id == d.firm)
    yield "outer join", select(d.id, f.name).outerjoin(f, f.id == d.firm)
    yield "outer join to nothing", select(func.count()).select_from(d).outerjoin(f, f.id == d.firm).where(f.id.is_(None))
    yield "full join", select(d.id, f.id).join(f, f.id == d.firm, full=True)
    yield "cross join", select(func.count()).select_from(f).join(d, true())
    yield "comma join", select(d.id, f.id).where(d.firm == f.id)
    yield "join chain", select(d.id, f2.name).join(f, f.id == d.firm).outerjoin(f2, f2.id == f.parent)
    yield "join then filter outer", select(f.id, d.id).outerjoin(d, and_(d.firm == f.id, d.stage == "won"))
    yield "in select", select(d.id).where(d.firm.in_(select(f.id)))
    yield "not in select", select(d.id).where(d.firm.not_in(select(f.id)))
    yield "exists", select(d.id).where(exists().where(f.id == d.firm))
    yield "not exists", select(d.id).where(~exists().where(f.id == d.firm))
    yield "exists with alias of itself", select(f.id).where(exists().where(f2.parent == f.id))
    yield "exists at the top", select(exists().where(d.chance == 10))
    yield "select exists()", select(select(d.id).where(d.chance == 10).exists())
    yield "scalar subquery", select(d.id, select(f.name).where(f.id == d.firm).scalar_subquery())
    yield "scalar subquery of itself", select(f.id, select(func.count(f2.id)).where(f2.parent == f.id).scalar_subquery())
    yield "scalar subquery in where", select(d.id).where(d.chance == select(func.max(d2.chance)).scalar_subquery())
    yield "explicit correlation", select(f.id).where(select(d.id).where(d.firm == f.id).correlate(f.__clause_element__()).exists())


def nested(f: Any, d: Any) -> Iterator[Form]:
    """Selects within selects: subqueries, CTEs and sets."""
    d2 = again(d)
    yield "subquery", select(select(d.id, d.chance).subquery().c.id)
    inner = select(d).subquery()
    yield "subquery of a whole entity", select(inner.c.id, inner.c.amount_currency)
    yield "nested alias", select(select(d2.id).alias("z").c.id)
    per_firm = select(d.firm, func.count().label("n")).group_by(d.firm).cte("per_firm")
    yield "cte", select(f.name, per_firm.c.n).join(per_firm, per_firm.c.firm == f.id)
    twice = select(d.id).cte("twice")
    other = twice.alias("other")
    yield "cte twice", select(twice.c.id).join(other, other.c.id == twice.c.id)
    tree = select(f.id, f.parent).where(f.parent.is_(None)).cte("tree", recursive=True)
    yield "recursive cte", select(tree.union_all(select(f.id, f.parent).join(tree, f.parent == tree.c.id)).c.id)
    yield "cte added", select(d.id).add_cte(select(f.id).cte("unused"))
    yield "union", union(select(d.id), select(f.id))
    yield "union all", union_all(select(d.id), select(d2.id))
    yield "union all in from", select(func.count()).select_from(union_all(select(d.id), select(d2.id)).subquery())
    yield "except", except_(select(f.id), select(d.firm))
    yield "intersect", intersect(select(f.id), select(d.firm))


def grouped(f: Any, d: Any) -> Iterator[Form]:
    """Windows, groups and aggregates."""
    yield "window", select(d.id, func.row_number().over(partition_by=d.owner, order_by=(d.chance, d.id)))
    yield "window frame", select(d.id, func.sum(d.chance).over(order_by=d.id, rows=(-2, 0)))
    yield "lag", select(d.id, func.lag(d.stage).over(order_by=d.id))
    yield "lag typed", select(d.id, func.lag(d.signed, type_=d.signed.type).over(order_by=d.id))
    yield "window over filter", select(select(d.id, func.rank().over(order_by=d.chance).label("r")).subquery().c.r)
    yield "aggregate filter", select(func.count().filter(d.stage == "won"), func.sum(d.chance).filter(d.open))
    yield "group having", select(d.owner, func.sum(d.chance), func.count()).group_by(d.owner).having(func.count() > 2)
    yield "group by expression", select(func.upper(d.stage), func.count()).group_by(func.upper(d.stage))
    yield "group by label", select(d.stage.label("s"), func.count()).group_by("s")
    yield "group by month", select(extract("month", d.closes), func.count()).group_by(extract("month", d.closes))
    yield "instant parts", select(d.id, extract("year", d.signed), extract("hour", d.created_at))
    yield "distinct", select(d.stage).distinct()
    yield "count distinct", select(func.count(d.stage.distinct()))
    yield "count from", select(func.count()).select_from(d)
    yield "min and max", select(func.min(d.closes), func.max(d.signed), func.min(d.discount), func.sum(d.discount))


def computed(f: Any, d: Any) -> Iterator[Form]:
    """Expressions."""
    yield "case", select(d.id, case((d.stage == "won", d.chance), else_=0))
    yield "case of decimals", select(d.id, case((d.open, d.discount)))
    yield "coalesce", select(d.id, func.coalesce(d.signed, d.created_at))
    yield "arithmetic", select(d.id, d.chance * 2 + 1 - d.version, -d.chance)
    yield "decimals add", select(d.id, d.discount + Decimal("0.5"), d.discount * 2)
    yield "text functions", select(func.lower(d.stage), func.length(f.name), func.substr(f.name, 1, 2)).join(f, f.id == d.firm)
    yield "concat", select(d.stage + ":" + d.owner)
    yield "cast", select(cast(d.chance, String), cast(d.stage, Text))
    yield "type_coerce", select(type_coerce(d.version, Integer))


def arranged(f: Any, d: Any) -> Iterator[Form]:
    """What is in order, locked or bound."""
    d2 = again(d)
    yield "ordered limit", select(d.id).order_by(d.chance.desc(), d.id).limit(7)
    yield "ordered offset", select(d.id).order_by(d.created_at, d.id).limit(7).offset(3)
    yield "ordered nulls", select(d.id).order_by(d.signed.desc().nulls_last(), d.id)
    yield "ordered by label", select(d.name.label("salary"), d.id).order_by("salary", d.id)
    yield "ordered by text", select(f.name).order_by(f.name)
    yield "ordered union", union_all(select(d.id), select(f.id)).order_by("id").limit(5)
    yield "ordered by subquery column", select((top := select(d.id, d.chance).subquery()).c.id).order_by(top.c.chance, top.c.id)
    yield "tuple in select", select(d.id).where(tuple_(d.stage, d.owner).in_(select(d2.stage, d2.owner).where(d2.chance > 80)))
    yield "tuple in list", select(d.id).where(tuple_(d.stage, d.owner).in_([("won", "u1"), ("lost", "u2")]))
    yield "for update", select(d.id).with_for_update()
    yield "constants", select(literal(1), literal("x"), null(), true()).select_from(d).limit(1)
    yield "false", select(d.id).where(false())
    yield "named bind", select(d.id).where(d.chance > bindparam("least", type_=Integer)).params(least=40)
    yield "bind with a value", select(d.id).where(d.chance > bindparam("given", 40))
    yield "column set of a join", select(func.count()).select_from(select(d, f.name).join(f, f.id == d.firm).subquery())


def of_money(f: Any, d: Any) -> Iterator[Form]:
    """Amounts with their currencies."""
    d2 = again(d)
    yield "money pair", select(d.id, d.amount)
    yield "money optional", select(d.id, d.amount_base)
    yield "money labelled", select(d.amount.__clause_element__().label("total"))
    yield "money equals", select(d.id).where(d.amount == Money("10", "EUR"))
    yield "money differs", select(d.id).where(d.amount != Money("10", "EUR"))
    yield "money compares", select(d.id).where(d.amount > Money("500", "EUR"))
    yield "money is null", select(d.id).where(d.amount_base.is_(None))
    yield "money of an alias", select(d2.id, d2.amount).where(d2.amount <= Money("500", "USD"))
    yield "money sum grouped", select(d.owner, d.amount.sum()).group_by(d.owner, d.amount.currency)
    yield "money sum fixed", select(d.amount.sum()).where(d.amount.currency == "EUR", d.open)
    yield "money sum fixed by comparison", select(d.amount.sum()).where(and_(d.amount >= Money("1", "USD"), d.open))
    yield "money having", select(d.amount.currency).group_by(d.amount.currency).having(d.amount.total("max") > Decimal(5))
    yield "money total", select(d.amount.currency, *(d.amount.total(n) for n in ("sum", "min", "max", "avg"))).group_by(d.amount.currency)
    yield (
        "money grouped in subquery",
        select(select(d.owner, d.amount.sum().label("m")).group_by(d.owner, d.amount.currency).subquery().c.m),
    )
    yield (
        "ordered by money total",
        select(d.owner, d.amount.sum()).where(d.amount.currency == "EUR").group_by(d.owner).order_by(d.amount.total().desc(), d.owner),
    )
    yield "amount arithmetic", select(d.id, d.amount.amount * 2, d.amount.amount - Decimal("1.5")).where(d.amount.currency == "EUR")
    yield "joined money", select(f.name, d.amount.sum()).join(d, d.firm == f.id).group_by(f.name, d.amount.currency)


def of_postgresql(f: Any, d: Any) -> Iterator[Form]:
    """What SQLite does not know."""
    last = lateral(select(d.id).where(d.firm == f.id).order_by(d.id).limit(1), "last")
    yield "lateral", select(f.id, last.c.id).join(last, true())
    yield "for update of", select(d.id).join(f, f.id == d.firm).with_for_update(of=d.__clause_element__())
