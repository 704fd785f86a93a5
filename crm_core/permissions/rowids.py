"""How SQLite finds the rows of a policy: by their row numbers, which cost a third of what ids cost, and come in the order of the table.

A condition is taken apart into keys (one of some owners, one of some ids) and what else is enough. Keys of one column become one set:
what is looked up in it row by row is looked up once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import attrs
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    Select,
    Table,
    column,
    func,
    or_,
    select,
    true,
    union,
    union_all,
)
from sqlalchemy.sql import elements, operators

from .to_sql import tenant_bind
from .unions import branches, conjuncts, distinct, is_equality, physical

# Of a table with so many rows, so many are looked at.
LARGE = 20_000
SAMPLE = 256
# A page of so many rows is reckoned with; and it is not counted beyond so many what a user sees.
PAGE = 51
MOST = 50_000


@attrs.frozen(eq=False)
class Keys:
    """Values of a column of which each is enough, as selects of one column."""

    column: ColumnElement[Any]
    selects: list[Select[Any]]
    parts: list[ColumnElement[bool]]

    @property
    def condition(self) -> ColumnElement[bool]:
        """The column is one of them."""
        return self.column.in_(union_all(*self.selects)) if len(self.selects) > 1 else self.parts[0]

    @property
    def once(self) -> Select[Any] | CompoundSelect[Any]:
        """Each of them once, as ``key``."""
        first, *rest = (s.with_only_columns(s.selected_columns[0].label("key")) for s in self.selects)
        return union(first, *rest) if rest else first.distinct()


def row_number(table: Table) -> ColumnElement[int]:
    """Return SQLite's own number of a row; no field has this name."""
    return column("_rowid_", Integer, _selectable=table)


def taken_apart(condition: ColumnElement[bool]) -> tuple[list[Keys], list[ColumnElement[bool]]]:
    """Return the keys of a condition, a set for each column, and the other parts of which one is enough."""
    keys: dict[str, Keys] = {}
    rest = []
    parts = distinct(branches(condition))
    for part in parts:
        found = _key(part)
        if found is not None:
            known = keys.setdefault(found.column.key or "", Keys(found.column, [], []))
            known.selects.extend(found.selects)
            known.parts.append(part)
        elif not any(part is not other and _is_within(other, part) for other in parts):
            rest.append(part)
    return [*keys.values()], rest


def either(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Write a condition for asking it of each row."""
    keys, rest = taken_apart(condition)
    return or_(*(k.condition for k in keys), *rest)


def all_rows(table: Table, condition: ColumnElement[bool], tenant: ColumnElement[bool]) -> ColumnElement[bool]:
    """Write a condition as the row numbers of a union, each part driven by its own index, which has them."""
    keys, rest = taken_apart(condition)
    parts = [*(k.condition for k in keys), *rest]
    return _among(table, [_rows(table, tenant, part) for part in parts]) if len(branches(condition)) > 1 else condition


def first_rows(
    table: Table, condition: ColumnElement[bool], tenant: ColumnElement[bool], within: ColumnElement[bool], page: Any
) -> ColumnElement[bool]:
    """Write a condition as the row numbers of the first rows of each key: what is first in the whole is first in its part.

    They are found without sorting, where an index has the page's order behind the key; else, and of ids, all rows are taken.
    """
    keys, rest = taken_apart(condition)
    rows: list[Any] = [_rows(table, tenant, part) for part in rest]
    for each in keys:
        sorts = leads(table, each, page)
        rows.append(_first_of_each(table, each, (tenant, within), page) if sorts else _rows(table, tenant, each.condition))
    return _among(table, rows)


def leads(table: Table, keys: Keys, page: Any) -> bool:
    """Say whether an index gives the rows of one key in the page's order."""
    named = keys.column.key
    first = page._order_by_clauses[0]
    while isinstance(first, elements.UnaryExpression | elements._label_reference | elements.Grouping):
        first = cast(Any, first).element
    name = getattr(first, "name", None)
    indexes = ([c.name for c in index.columns] for index in table.indexes)
    return any(names[:2] == ["tenant", named] and name in (named, *names[2:3]) for names in indexes) and named != "id"


def sees_few(
    connection: Connection,
    table: Table,
    condition: ColumnElement[bool],
    page: Any,
    params: Mapping[str, Any],
    *,
    at_least: int,
) -> bool:
    """Say whether the first rows of each key are found sooner than a page on the way along its order.

    The former are looked up twice each. On the way a page is met after as many rows as there are in the tenant for each that is seen.
    """
    tenant = table.c.tenant == tenant_bind()
    keys, rest = taken_apart(condition)
    leading = [each for each in keys if leads(table, each, page)]
    sets = [*(each.condition for each in keys), *rest]
    loose = [*(each.condition for each in keys if each not in leading), *rest]
    counts = [select(func.count() * PAGE).select_from(each.once.subquery()).scalar_subquery() for each in leading]
    counts += [select(func.count()).select_from(_rows(table, tenant, part).limit(MOST).subquery()).scalar_subquery() for part in loose]
    reads = sum(connection.execute(select(*counts), params).one())
    within = _rows_of(connection, table, params.get("crm_tenant"))
    most = max(at_least, min(MOST, int(PAGE * within / (2 * reads or 1))))
    rows = union_all(*(_rows(table, tenant, part) for part in sets)).limit(1).offset(most)
    return connection.execute(rows, params).first() is None


def sample(connection: Connection, table: Table) -> Sequence[int]:
    """Return places all over a large table; none of one that is not large."""
    last = _last(connection, table)
    if last < LARGE:
        return ()
    step = last // SAMPLE
    return [n * step + n * 7919 % step + 1 for n in range(SAMPLE)]


def _rows_of(connection: Connection, table: Table, tenant: Any) -> int:
    """Return about how many rows of a large table are a tenant's; 0 of one that is not large."""
    places = sample(connection, table)
    if not places:
        return 0
    tenants = connection.execute(select(table.c.tenant).where(row_number(table).in_(places))).scalars().all()
    return _last(connection, table) * tenants.count(tenant) // SAMPLE


def _last(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.max(row_number(table)))).scalar() or 0


def _first_of_each(table: Table, keys: Keys, conditions: Sequence[ColumnElement[bool]], page: Any) -> Select[Any]:
    """Select the first rows of each key. SQLite has no LATERAL, but an IN may speak of what stands left of its table."""
    key, whole = keys.once.subquery("crm_key"), table.alias("crm_of_key")
    first = (
        select(row_number(table))
        .where(*conditions, keys.column == key.c.key, *(physical(c, table) for c in page._where_criteria))
        .order_by(*(physical(c, table) for c in page._order_by_clauses))
        .limit(page._limit_clause)
        .correlate(key)
    )
    number = row_number(cast(Table, whole))
    return select(number).select_from(key.join(whole, true())).where(number.in_(first)).correlate(None)


def _rows(table: Table, tenant: ColumnElement[bool], part: ColumnElement[bool]) -> Select[Any]:
    return select(row_number(table)).where(tenant, part).correlate(None)


def _among(table: Table, rows: Sequence[Select[Any]]) -> ColumnElement[bool]:
    return row_number(table).in_(union_all(*rows) if len(rows) > 1 else rows[0])


def _key(part: Any) -> Keys | None:
    if not isinstance(part, elements.BinaryExpression) or not isinstance(part.left, elements.ColumnClause):
        return None
    inner: Any = part.right
    if is_equality(part):
        return Keys(part.left, [select(inner)], [part])
    while part.operator is operators.in_op and not isinstance(inner, Select) and hasattr(inner, "element"):
        inner = inner.element
    return Keys(part.left, [inner], [part]) if isinstance(inner, Select) else None


def _is_within(other: ColumnElement[bool], part: ColumnElement[bool]) -> bool:
    """Say whether a part is one that is enough alone, with more conditions."""
    clauses: Iterator[Any] = iter(conjuncts(part))
    return any(clause.compare(other) for clause in clauses)
