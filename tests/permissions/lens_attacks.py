"""Selects that must not pass, as a careless or hostile plugin might write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, case, cast, exists, extract, func, literal, select, type_coerce
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import aggregate_order_by, array
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import quoted_name

from crm_core.entities.columns import MoneySum, alias, columns_of
from crm_core.entities.meta import extension_fields, logical_table
from crm_core.entities.sqltypes import DecimalType, InstantType
from crm_core.errors import CRMError, MixedCurrency, NotReadable, Refused
from tests.permissions.lens_forgeries import (
    SECRET,
    Look,
    Loophole,
    LoopholeType,
    LoudCount,
    LoudString,
    MappedDeal,
    OwnBinary,
    OwnColumn,
    OwnFunction,
    OwnGeneric,
    OwnSelect,
    Uncacheable,
    disguised_column,
    forged_label,
    forged_table,
    stray_column,
    with_name,
)
from tests.permissions.lens_world import Absent, Company, Deal, Firm

ABSENT = extension_fields(Absent)["points"]

Attack = tuple[str, Callable[[], Any], type[CRMError]]


def attacks(company: Company) -> Iterator[Attack]:
    """Yield what must be refused for a user who cannot read ``Firm.salary`` and sees ``Firm.phone`` masked."""
    yield from ((name, build, Refused) for name, build in refused(company))
    yield from ((name, build, NotReadable) for name, build in hidden())
    yield from ((name, build, MixedCurrency) for name, build in mixed())


def refused(company: Company) -> list[tuple[str, Callable[[], Any]]]:
    """Return forms that no lens lets through."""
    return [*texts(), *tables(company), *writes(company), *functions(), *forms(), *types(), *names(), *arithmetic()]


def texts() -> list[tuple[str, Callable[[], Any]]]:
    """Return SQL as text, and columns and tables that are only names."""
    return [
        ("text", lambda: sa.text("SELECT * FROM crm_deal")),
        ("text columns", lambda: sa.text("SELECT id FROM crm_deal").columns(sa.column("id"))),
        ("text in columns", lambda: select(sa.text("* FROM crm_deal"))),
        ("text in where", lambda: select(Deal.id).where(sa.text("1=1"))),
        ("text in order by", lambda: select(Deal.id).order_by(sa.text(SECRET))),
        ("text in from", lambda: select(Deal.id).select_from(sa.text("crm_deal"))),
        ("string in order by", lambda: select(Deal.id).order_by("1; DROP TABLE crm_deal")),
        ("string in group by", lambda: select(func.count()).select_from(Deal).group_by("no_such_column")),
        ("literal column", lambda: select(sa.literal_column(SECRET))),
        ("literal column in where", lambda: select(Deal.id).where(sa.literal_column("1") == 1)),
        ("bare column", lambda: select(sa.column("salary")).select_from(logical_table(Firm))),
        ("lightweight table", lambda: select(sa.table("crm_deal", sa.column("id")).c.id)),
    ]


def tables(company: Company) -> list[tuple[str, Callable[[], Any]]]:
    """Return tables of the database itself, and columns that pretend to be of another."""
    physical = company.tables.entities[Deal]
    journal = company.tables.system.journal
    return [
        ("physical table", lambda: select(physical.c.id)),
        ("physical table whole", lambda: select(physical)),
        ("physical alias", lambda: select(physical.alias("d").c.id)),
        ("physical in subquery", lambda: select(select(physical.c.id).subquery().c.id)),
        ("physical in cte", lambda: select(select(physical.c.id).cte("x").c.id)),
        ("physical in exists", lambda: select(Deal.id).where(exists().where(physical.c.id == Deal.id))),
        ("physical in join", lambda: select(Deal.id).join(physical, physical.c.id == Deal.id)),
        ("physical in order by", lambda: select(Deal.id).order_by(select(physical.c.id).limit(1).scalar_subquery())),
        ("physical in union", lambda: sa.union_all(select(Deal.id), select(physical.c.id))),
        ("physical in added cte", lambda: select(Deal.id).add_cte(select(physical.c.id).cte("x"))),
        ("physical in lateral", lambda: select(select(physical.c.id).lateral("l").c.id)),
        ("physical in correlate", lambda: select(Deal.id).where(select(Deal.id).correlate(physical).exists())),
        ("physical in for update of", lambda: select(Deal.id).with_for_update(of=physical)),
        ("physical tablesample", lambda: select(sa.tablesample(physical, 10).c.id)),
        ("journal", lambda: select(journal.c.payload)),
        ("tablesample", lambda: select(func.count()).select_from(sa.tablesample(logical_table(Deal), 10))),
        ("forged column's table", lambda: disguised_column(company)),
        ("stray column", stray_column),
        ("values", lambda: select(sa.values(sa.column("a", sa.Integer), name="v").data([(1,)]).c.a)),
    ]


def writes(company: Company) -> list[tuple[str, Callable[[], Any]]]:
    """Return statements that write."""
    physical = company.tables.entities[Deal]
    return [
        ("insert", lambda: sa.insert(logical_table(Deal)).values(name="x")),
        ("update", lambda: sa.update(logical_table(Deal)).values(name="x")),
        ("delete", lambda: sa.delete(logical_table(Deal))),
        ("insert in cte", lambda: select(sa.insert(logical_table(Deal)).values(name="x").returning(Deal.id).cte("i").c.id)),
        ("delete in cte", lambda: select(Deal.id).add_cte(sa.delete(logical_table(Deal)).cte("gone"))),
        ("ddl", lambda: sa.schema.DropTable(physical)),
    ]


def functions() -> list[tuple[str, Callable[[], Any]]]:
    """Return functions that are not on the list."""
    return [
        ("function as statement", lambda: func.count()),
        ("file function", lambda: select(func.pg_read_file("/etc/passwd"))),
        ("query_to_xml", lambda: select(func.query_to_xml("SELECT 1", True, True, ""))),
        ("dblink", lambda: select(func.dblink("SELECT 1"))),
        ("load_extension", lambda: select(func.load_extension("x.so"))),
        ("unistr", lambda: select(func.unistr("a"))),
        ("sleep", lambda: select(func.pg_sleep(1))),
        ("set_config", lambda: select(func.set_config("role", "x", False))),
        ("now", lambda: select(func.now())),
        ("random", lambda: select(func.random())),
        ("current_user", lambda: select(func.current_user())),
        ("next value", lambda: select(sa.Sequence("s").next_value())),
        ("function of a package", lambda: select(func.pg_catalog.count(Deal.id))),
        ("function renamed", lambda: select(with_name(func.lower(Deal.name), name="pg_read_file"))),
        ("function in capitals", lambda: select(func.PG_READ_FILE(Deal.name))),
        ("function with quoted name", lambda: select(with_name(func.lower(Deal.name), name=quoted_name("lower", quote=False)))),
        ("function of its own class", lambda: select(OwnFunction())),
        ("generic function of a plugin", lambda: select(OwnGeneric(Deal.name))),
        ("subclass of count", lambda: select(LoudCount(Deal.id))),
        ("table function", lambda: select(func.json_each("[]").table_valued("value").c.value)),
        ("function as table", lambda: select(func.lower("x").alias("t").column)),
        ("function as column", lambda: select(func.count().column_valued("x"))),
        ("ordered set aggregate", lambda: select(func.count(Deal.id).within_group(Deal.chance))),
    ]


def forms() -> list[tuple[str, Callable[[], Any]]]:
    """Return operators, prefixes, hints, options, the ORM's and elements of somebody's own."""
    return [
        ("custom operator", lambda: select(Deal.name.op("|| (SELECT 1) ||")("x"))),
        ("own comparison", lambda: select(Deal.id).where(OwnBinary(Deal.name, literal("x"), sa.sql.operators.eq))),
        ("boolean operator", lambda: select(Deal.id).where(Deal.name.bool_op("~")("x"))),
        ("operator that equals all", lambda: select(Deal.name.operate(Look("||"), "x"))),
        ("regular expression", lambda: select(Deal.id).where(Deal.name.regexp_match("(a+)+$"))),
        ("full text match", lambda: select(Deal.id).where(Deal.name.match("x"))),
        ("any", lambda: select(Deal.id).where(Deal.chance == sa.any_(select(Deal.chance).scalar_subquery()))),
        ("prefix", lambda: select(Deal.id).prefix_with("ALL")),
        ("suffix", lambda: select(Deal.id).suffix_with("FOR SHARE")),
        ("prefix of a cte", lambda: select(select(Deal.id).cte("c").prefix_with("MATERIALIZED").c.id)),
        ("hint", lambda: select(Deal.id).with_hint(logical_table(Deal), "INDEXED BY x")),
        ("statement hint", lambda: select(Deal.id).with_statement_hint("x")),
        ("execution options", lambda: select(Deal.id).execution_options(crm_views=None)),
        ("loader options", lambda: select(Deal.id).options(sa.orm.load_only(MappedDeal.id))),
        ("orm entity", lambda: select(MappedDeal)),
        ("orm column", lambda: select(MappedDeal.id)),
        ("orm alias", lambda: select(aliased(MappedDeal).id)),
        ("lambda statement", lambda: sa.lambda_stmt(lambda: select(Deal.id))),
        ("lambda criterion", lambda: select(Deal.id).where(lambda: Deal.chance > 5)),
        ("subclass of select", lambda: OwnSelect(Deal.id)),
        ("subclass of select inside", lambda: select(OwnSelect(Deal.id).subquery().c.id)),
        ("own column element", lambda: select(OwnColumn())),
        ("element without a cache key", lambda: select(Uncacheable())),
        ("annotated", lambda: select(Deal.id._annotate({"x": 1}))),
        ("own dispatch", lambda: select(with_name(Deal.name.label("x"), _compiler_dispatch=lambda *_, **__: SECRET))),
    ]


def types() -> list[tuple[str, Callable[[], Any]]]:
    """Return types that write SQL, and casts to what is no type of ours."""
    return [
        ("type that writes", lambda: select(type_coerce(Deal.name, Loophole()))),
        ("type that writes in a bind", lambda: select(Deal.id).where(Deal.name == bindparam("x", "y", type_=Loophole()))),
        ("type that writes in a literal", lambda: select(literal("x", Loophole()))),
        ("type that writes in a function", lambda: select(func.lower(Deal.name, type_=Loophole()))),
        ("type that writes in a cast", lambda: select(cast(Deal.name, LoopholeType()))),
        ("subclass of a type", lambda: select(cast(Deal.name, LoudString()))),
        ("variant of a type", lambda: select(cast(Deal.name, sa.String().with_variant(LoopholeType(), "sqlite", "postgresql")))),
        ("length of a type", lambda: select(cast(Deal.name, sa.String("1) || (SELECT 1) || CAST('' AS TEXT")))),  # type: ignore[arg-type]  # the attack
        ("collation of a type", lambda: select(cast(Deal.name, sa.String(collation='C" || (SELECT 1) || "')))),
        ("array type", lambda: select(cast(Deal.name, sa.ARRAY(sa.String)))),
        ("regclass", lambda: select(cast(literal("crm_deal"), postgresql.REGCLASS))),
        ("try cast", lambda: select(sa.try_cast(Deal.name, sa.Integer))),
    ]


def names() -> list[tuple[str, Callable[[], Any]]]:
    """Return what writes a name or a value into the statement: collations, labels, binds, values for the policy's own."""
    return [
        ("array", lambda: select(array([Deal.id]))),
        ("aggregate order by", lambda: select(func.count(aggregate_order_by(Deal.id, Deal.name)))),
        ("collate", lambda: select(Deal.name.collate("de_DE"))),
        ("collate with quotes", lambda: select(Deal.name.collate('x" || (SELECT 1) || "'))),
        ("extract", lambda: select(extract("epoch FROM now()) || (SELECT 1", Deal.closes))),
        ("unquoted label", lambda: select(forged_label(f"x, {SECRET}"))),
        ("unquoted alias", lambda: select(logical_table(Deal).alias(quoted_name("x, crm_firm", quote=False)).c.id)),
        ("unquoted cte", lambda: select(select(Deal.id).cte(quoted_name("x AS (SELECT 1), y", quote=False)).c.id)),
        ("literal bind", lambda: select(Deal.id).where(Deal.name == bindparam("x", "y", literal_execute=True))),
        ("bind with an odd name", lambda: select(Deal.id).where(Deal.name == bindparam("x)s; DROP", "y"))),
        ("bind of the actor", lambda: select(Deal.id).where(Deal.owner == bindparam("crm_me"))),
        ("bind of the tenant", lambda: select(Deal.id).where(Deal.owner == bindparam("crm_tenant", "two"))),
        ("out parameter", lambda: select(Deal.id).where(Deal.name == sa.outparam("x", sa.String()))),
        ("value for the actor", lambda: select(Deal.id).params(crm_me="u0")),
        ("value for the tenant", lambda: select(Deal.id).params(crm_tenant="two")),
        ("value for a constant of the policy", lambda: select(Deal.id).params(stage_1="lost", param_1="x")),
        ("value in a subquery", lambda: select(Deal.id).where(Deal.id.in_(select(Deal.id).params(crm_me="u0")))),
    ]


def arithmetic() -> list[tuple[str, Callable[[], Any]]]:
    """Return clauses of one database, and arithmetic that the databases do differently."""
    return [
        ("fetch first", lambda: select(Deal.id).fetch(5)),
        ("distinct on", lambda: select(Deal.id).ext(postgresql.distinct_on(Deal.owner))),
        ("like with a long escape", lambda: select(Deal.id).where(Deal.name.like("x", escape="' OR 1=1 --"))),
        ("between symmetric", lambda: select(Deal.id).where(Deal.chance.between(1, 5, symmetric=True))),
        ("decimal divides", lambda: select(literal(1) / Deal.discount)),
        ("decimals multiply", lambda: select(type_coerce(Deal.chance, DecimalType()) * Deal.discount)),
        ("decimals of two scales", lambda: select(Deal.id).where(Deal.discount > Deal.amount.amount)),
        ("decimal against integer", lambda: select(Deal.id).where(Deal.chance > Deal.discount)),
        ("case mixes decimal and integer", lambda: select(case((Deal.open, Deal.discount), else_=5))),
        ("average of decimals", lambda: select(func.avg(Deal.discount))),
        ("round of a decimal", lambda: select(func.round(Deal.discount, 1))),
        ("cast of a decimal", lambda: select(cast(Deal.discount, sa.Integer))),
        ("cast of an instant", lambda: select(cast(Deal.signed, sa.String))),
        ("cast to an instant", lambda: select(cast(Deal.name, InstantType))),
        ("untyped function of an instant", lambda: select(func.lag(Deal.signed).over(order_by=Deal.id))),
        ("money window", lambda: select(Deal.amount.sum().over(order_by=Deal.id)).where(Deal.amount.currency == "EUR")),
        ("money filter", lambda: select(Deal.amount.total().filter(Deal.open)).where(Deal.amount.currency == "EUR")),
        ("no select", lambda: "SELECT 1"),
    ]


def hidden() -> list[tuple[str, Callable[[], Any]]]:
    """Return questions that a hidden or masked field would answer."""
    f2 = alias(Firm, "f2")
    return [
        ("hidden column", lambda: select(Firm.salary)),
        ("hidden column of an alias", lambda: select(f2.salary)),
        ("hidden column in where", lambda: select(Firm.id).where(Firm.salary > 1)),
        ("hidden column in order by", lambda: select(Firm.id).order_by(Firm.salary)),
        ("hidden column in order by text", lambda: select(Firm.id).order_by("salary")),
        ("hidden column in a function", lambda: select(func.max(Firm.salary))),
        ("hidden column in having", lambda: select(Firm.owner).group_by(Firm.owner).having(func.sum(Firm.salary) > 1)),
        ("hidden column in a window", lambda: select(func.row_number().over(order_by=Firm.salary))),
        ("hidden column in exists", lambda: select(Deal.id).where(exists().where(Firm.salary > 5))),
        ("hidden column in a subquery", lambda: select(select(Firm.id, Firm.salary).subquery().c.id)),
        ("hidden column in join", lambda: select(Deal.id).join(Firm, Firm.salary == Deal.chance)),
        ("whole entity with a hidden column", lambda: select(Firm)),
        ("whole alias with a hidden column", lambda: select(f2)),
        ("column of an absent plugin", lambda: select(Absent.points)),
        ("column of an absent plugin in an alias", lambda: select(*columns_of(ABSENT, logical_table(Firm).alias()))),
        ("masked column in where", lambda: select(Firm.id).where(Firm.phone == "+491")),
        ("masked column in like", lambda: select(Firm.id).where(Firm.phone.startswith("+4"))),
        ("masked column in order by", lambda: select(Firm.id).order_by(Firm.phone)),
        ("masked column in group by", lambda: select(func.count()).group_by(Firm.phone)),
        ("masked column in having", lambda: select(Firm.owner).group_by(Firm.owner).having(func.max(Firm.phone) > "+49")),
        ("masked column in join", lambda: select(Firm.id).join(f2, f2.phone == Firm.phone)),
        ("masked column in a subquery's where", lambda: select(Deal.id).where(Deal.firm.in_(select(Firm.id).where(Firm.phone == "+491")))),
        ("forged entity", forged_table),
    ]


def mixed() -> list[tuple[str, Callable[[], Any]]]:
    """Return sums and comparisons of unlike currencies."""
    pair, amount = Deal.amount.__clause_element__(), Deal.amount.amount
    d2 = alias(Deal, "d2")
    return [
        ("sum over currencies", lambda: select(Deal.amount.sum())),
        ("sum grouped by another column", lambda: select(Deal.owner, Deal.amount.sum()).group_by(Deal.owner)),
        ("sum grouped by another alias", lambda: select(Deal.amount.sum()).join(d2, d2.id == Deal.id).group_by(d2.amount.currency)),
        ("sum fixed by or", lambda: select(Deal.amount.sum()).where(sa.or_(Deal.amount.currency == "EUR", Deal.open))),
        ("sum fixed by not", lambda: select(Deal.amount.sum()).where(~(Deal.amount.currency == "EUR"))),
        ("sum fixed by another column", lambda: select(Deal.amount.sum()).where(Deal.amount.currency == Deal.stage)),
        (
            "sum fixed in another select",
            lambda: select(Deal.amount.sum()).where(Deal.id.in_(select(Deal.id).where(Deal.amount.currency == "EUR"))),
        ),
        ("sum with two currencies", lambda: select(Deal.amount.sum()).where(Deal.amount.currency.in_(["EUR", "USD"]))),
        ("sum in having", lambda: select(Deal.owner).group_by(Deal.owner).having(Deal.amount.total() > 5)),
        ("sum in order by", lambda: select(Deal.owner).group_by(Deal.owner).order_by(Deal.amount.total())),
        ("sum in a scalar subquery", lambda: select(Deal.id, select(d2.amount.sum()).where(d2.owner == Deal.owner).scalar_subquery())),
        ("sum of the wrong currency", lambda: select(MoneySum(amount, Deal.stage, 6)).group_by(Deal.amount.currency)),
        ("plain sum", lambda: select(func.sum(amount)).where(Deal.amount.currency == "EUR")),
        ("coerced amount", lambda: select(func.sum(type_coerce(Deal.amount.amount, sa.Integer)))),
        ("plain max", lambda: select(func.max(amount))),
        ("plain sum of an expression", lambda: select(func.sum(amount * 2 + Decimal(1)))),
        ("plain sum of a case", lambda: select(func.sum(case((Deal.open, amount))))),
        ("plain sum of a subquery's", lambda: select(func.sum(select(amount.label("x")).subquery().c.x))),
        ("plain sum of a cte's", lambda: select(func.sum(select(Deal).cte("c").c.amount))),
        ("plain sum of an alias's", lambda: select(func.sum(d2.amount.amount))),
        ("plain sum of a coalesce", lambda: select(func.sum(func.coalesce(amount, Decimal(0), type_=amount.type)))),
        ("amounts compare", lambda: select(Deal.id).join(d2, d2.amount.amount > amount)),
        ("amounts add", lambda: select(amount + Deal.amount_base.amount)),
        ("amount in select of amounts", lambda: select(Deal.id).where(amount.in_(select(d2.amount.amount)))),
        ("amount equals scalar amount", lambda: select(Deal.id).where(amount == select(d2.amount.amount).limit(1).scalar_subquery())),
        ("order by money", lambda: select(Deal.id).order_by(pair)),
        ("order by money descending", lambda: select(Deal.id).order_by(pair.desc())),
        ("order by a label of money", lambda: select(pair.label("m")).order_by("m")),
        ("order by a sum of money", lambda: select(Deal.amount.sum()).group_by(Deal.amount.currency).order_by(Deal.amount.sum())),
        ("money compares", lambda: select(Deal.id).where(pair > "EUR:1")),
        ("money of a subquery compares", lambda: select((s := select(pair.label("m")).subquery()).c.m).where(s.c.m > s.c.m)),
        ("order by money of a subquery", lambda: select((s := select(pair.label("m")).subquery()).c.m).order_by(s.c.m)),
        ("max of money", lambda: select(func.max(select(pair.label("m")).subquery().c.m))),
        ("money in where", lambda: select(Deal.id).where(pair.is_(None))),
        ("money in a case", lambda: select(case((Deal.open, pair)))),
        ("money method asc", lambda: select(Deal.id).order_by(Deal.amount.asc())),
    ]
