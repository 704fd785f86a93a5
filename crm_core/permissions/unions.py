"""Unions: the parts of a policy of which one is enough, and the ids of each part's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, and_, select, union_all
from sqlalchemy.sql import elements, operators, visitors

from ..entities.columns import EntityColumn


def by_ids(table: Table, condition: ColumnElement[bool], tenant: ColumnElement[bool]) -> ColumnElement[bool]:
    """Write an OR as the ids of a union, each part driven by its own index, which has them: what else must hold is asked of the row once.

    PostgreSQL cannot combine indexes over subqueries, and SQLite does not without statistics, which an embedded database seldom has.
    """
    parts = distinct(branches(condition))
    if len(parts) == 1:
        return condition
    return table.c.id.in_(union_all(*(select(table.c.id).where(tenant, part).correlate(None) for part in parts)))


def by_first_ids(
    table: Table, condition: ColumnElement[bool], tenant: ColumnElement[bool], within: ColumnElement[bool], page: Any
) -> ColumnElement[bool]:
    """Write an OR as the ids of the first rows of each part: what is first in the whole is first in its part.

    An index over part, filter and order finds them without sorting. A part that is a set of its own (of shared records, of the owners
    below somebody) gives all its ids: in the page's order, or with its conditions, SQLite would rather walk the tenant.
    """
    criteria = [physical(c, table) for c in page._where_criteria]
    order = [physical(c, table) for c in page._order_by_clauses]
    ids = []
    for part in distinct(branches(condition)):
        rows = select(table.c.id).where(tenant, part).correlate(None)
        if any(is_equality(p) for p in conjuncts(part)):
            first = rows.where(within, *criteria).order_by(*order).limit(page._limit_clause).subquery()
            ids.append(select(first.c.id))
        else:
            ids.append(rows)
    return table.c.id.in_(union_all(*ids))


def is_equality(part: Any) -> bool:
    """Say whether a part wants a column to be one plain value."""
    return isinstance(part, elements.BinaryExpression) and part.operator is operators.eq and isinstance(part.right, elements.BindParameter)


def physical(element: Any, table: Table) -> Any:
    """Return an element of a statement as it is said of the physical table."""

    def column(part: Any, **_: object) -> Any:
        if isinstance(part, EntityColumn):
            return table.c[part.name]
        # The same bind, not a copy, so that its value is found in the statement's.
        return part if isinstance(part, elements.BindParameter) else None

    return cast(Any, visitors.replacement_traverse)(element, {}, column)  # its types know no element that may be either


def distinct(parts: Sequence[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
    """Return the parts without those that were there before."""
    found: list[ColumnElement[bool]] = []
    for part in parts:
        if not any(part.compare(known) for known in found):
            found.append(part)
    return found


def branches(condition: Any) -> list[ColumnElement[bool]]:
    """Return the parts of which one is enough: those of an OR, each with what is AND-ed to it."""
    if isinstance(condition, elements.Grouping):
        return branches(condition.element)
    if isinstance(condition, elements.BooleanClauseList):
        if condition.operator is operators.or_:
            return [part for clause in condition.clauses for part in branches(clause)]
        for clause in condition.clauses:
            parts = branches(clause)
            if len(parts) > 1:
                rest = [c for c in condition.clauses if c is not clause]
                return [and_(part, *rest) for part in parts]
    return [condition]


def conjuncts(criterion: Any) -> Sequence[Any]:
    """Return what must all hold for a criterion to hold."""
    if isinstance(criterion, elements.BooleanClauseList) and criterion.operator is operators.and_:
        return criterion.clauses
    return (criterion,)
