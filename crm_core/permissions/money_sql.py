"""How the money elements of a statement are written on SQLite and PostgreSQL, with equal results."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ClauseElement, FromClause
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler

from ..entities.columns import Converted, ListContains, MoneyAggregate, MoneyPair, MoneySum, entity_table
from ..errors import NotReadable, Refused
from .views import Views, entity_name, tenant, views_of

MISSING_RATE = "missing_rate"
CONVERT = "crm_convert"
MIN_INTEGER = "(-9223372036854775807 - 1)"


def _parts(element: Any, compiler: SQLCompiler, kw: dict[str, Any]) -> list[str]:
    # What stands inside is no column of the result.
    inner = {k: v for k, v in kw.items() if k not in ("add_to_result_map", "within_columns_clause")}
    return [compiler.process(c, **inner) for c in element.clauses]


def converts(statement: Any) -> bool:
    """Say whether a statement converts amounts, which fails where a rate is missing."""
    return isinstance(statement, ClauseElement) and any(isinstance(e, Converted) for e in visitors.iterate(statement))


@compiles(MoneyPair)
def _pair(element: MoneyPair, compiler: SQLCompiler, **kw: Any) -> str:
    amount, currency = _parts(element, compiler, kw)
    return f"({currency} || ':' || CAST({amount} AS TEXT))"


@compiles(MoneySum)
def _sum(element: MoneySum, compiler: SQLCompiler, **kw: Any) -> str:
    amount, currency = _parts(element, compiler, kw)
    # It is one, grouped or fixed. PostgreSQL wants to be told so of what is fixed.
    one = currency if compiler.dialect.name == "sqlite" else f"min({currency})"
    return f"({one} || ':' || CAST(sum({amount}) AS TEXT))"


@compiles(MoneyAggregate)
def _aggregate(element: MoneyAggregate, compiler: SQLCompiler, **kw: Any) -> str:
    amount, _ = _parts(element, compiler, kw)
    if element.function in ("sum", "min", "max"):
        return f"{element.function}({amount})"
    if element.function != "avg":
        raise Refused("forbidden_function", function=str(element.function)[:60])
    if compiler.dialect.name == "sqlite":
        return _average(f"sum({amount})", f"count({amount})", "{} / {}", "{} % {}", "(CASE WHEN {0} < 0 THEN -1 ELSE 1 END)")
    scale = element.scale
    whole = f"trunc(sum({amount}) * 1{'0' * scale})"
    average = _average(whole, f"count({amount})", "div({}, {})", "mod({}, {})", "sign({})")
    return f"({average} * 0.{'1'.zfill(scale)})" if scale else average


def _average(total: str, count: str, quotient: str, rest: str, sign: str) -> str:
    """Divide integers and round a half away from zero, exactly: the databases' own averages are floats or cut off."""
    up = f"abs({rest.format(total, count)}) * 2 >= {count}"
    return f"({quotient.format(total, count)} + CASE WHEN {up} THEN {sign.format(total)} ELSE 0 END)"


@compiles(ListContains)
def _list_contains(element: ListContains, compiler: SQLCompiler, **kw: Any) -> str:
    column, *_ = element.clauses
    views = views_of(compiler, "list")
    if views is None:
        return f"list_contains({', '.join(_parts(element, compiler, kw))})"
    _, id_sql, value_sql = _parts(element, compiler, kw)
    listed = _list_table(views, column)
    name = compiler.preparer.quote(listed.name)
    return (
        f"EXISTS (SELECT 1 FROM {compiler.process(listed, asfrom=True)} WHERE {name}.tenant = {compiler.process(tenant())}"
        f" AND {name}.record = {id_sql} AND {name}.value = {value_sql})"
    )


def _list_table(views: Views, column: Any) -> Any:
    table = entity_table(column.table)
    if table is None or column.name not in views[table].lists:
        raise Refused("not_a_list", field=str(column.name))
    if column.name in views[table].masked:
        raise NotReadable("masked_only_listed", entity=entity_name(table), field=column.name)
    return views[table].lists[column.name]


@compiles(Converted)
def _converted(element: Converted, compiler: SQLCompiler, **kw: Any) -> str:
    """Write a conversion: the amount itself, or the one frozen on the document, or by the newest rate that is valid on the day."""
    views = views_of(compiler, "exchange rates")
    if views is None:
        return f"money_to({', '.join(_parts(element, compiler, kw))})"
    if views.rates is None:
        raise Refused("no_rates")
    amount, currency, target, places, at, *frozen = _parts(element, compiler, kw)
    sqlite = compiler.dialect.name == "sqlite"
    day = f"substr({at}, 1, 10)" if sqlite else f"CAST(CAST({at} AS TIMESTAMP WITH TIME ZONE) AT TIME ZONE 'UTC' AS DATE)"
    rate = _rate(views.rates, compiler, currency, target, day)
    problem = f"'{MISSING_RATE}:' || {currency} || ':' || {target} || ':' || CAST({day} AS TEXT)"
    if sqlite:
        # A path that is none: the one error of SQLite that carries a text of ours.
        checked = f"coalesce({rate}, json_extract('{{}}', {problem}))"
        scales = f"{element.scale}, {_rate_scale(views.rates)}"
        # abs of the smallest integer: the other error that SQLite has words for.
        product = f"coalesce({CONVERT}({amount}, {checked}, {places}, {scales}), abs({MIN_INTEGER} + 0 * {amount}))"
    else:
        product = f"round({amount} * coalesce({rate}, CAST({problem} AS NUMERIC)), least({places}, {element.scale}))"
    cases = [f"WHEN {amount} IS NULL THEN NULL", f"WHEN {currency} = {target} THEN {amount}"]
    if frozen:
        cases.append(f"WHEN {frozen[1]} = {target} AND {frozen[0]} IS NOT NULL THEN {frozen[0]}")
    return f"(CASE {' '.join(cases)} ELSE {product} END)"


def _rate(rates: FromClause, compiler: SQLCompiler, currency: str, target: str, day: str) -> str:
    return (
        f"(SELECT crm_rate.rate FROM {compiler.process(rates.alias('crm_rate'), asfrom=True)}"
        f" WHERE crm_rate.tenant = {compiler.process(tenant())} AND crm_rate.deleted_at IS NULL"
        f" AND crm_rate.base = {currency} AND crm_rate.quote = {target} AND crm_rate.valid_from <= {day}"
        f" ORDER BY crm_rate.valid_from DESC, crm_rate.id DESC LIMIT 1)"
    )


def _rate_scale(rates: FromClause) -> int:
    return int(rates.c.rate.type.scale)  # type: ignore[attr-defined]  # a Decimal field's type


def convert(amount: int | None, rate: int | None, places: int, scale: int, rate_scale: int) -> int | None:
    """Multiply scaled integers and round a half away from zero to *places* digits; None where 64 bits do not hold the result.

    SQLite's own product of two scaled integers would overflow long before.
    """
    if amount is None or rate is None:
        return None
    kept = min(places, scale)
    unit: int = 10 ** (scale + rate_scale - kept)
    whole, rest = divmod(abs(amount * rate), unit)
    rounded: int = (whole + (rest * 2 >= unit)) * 10 ** (scale - kept)
    if rounded >= 2**63:
        return None
    return rounded if amount >= 0 else -rounded


def register_functions(dbapi_connection: Any) -> None:
    """Give an SQLite connection the functions that statements of ours call."""
    dbapi_connection.create_function(CONVERT, 5, convert, deterministic=True)
