"""Plans: one policy can be written in ways that mean the same and cost unlike. Which one a statement gets is chosen here.

- ``POINT``: the policy row by row (EXISTS), for single records and for whatever is joined to a page.
- ``SETS``: the sets behind the policy first (owners, shared ids), then the rows by index: aggregates, lists, and the pages of a user
  who sees little.
- ``WALK``: along the index of the page's order, the sets as a filter: the pages of a user who sees much.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, select, union_all
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import elements, operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

from ..entities.columns import EntityColumn, EntityTable, entity_table

FEW = 2000
# A plan is a hint: whether a user sees few is asked again after so many pages, not at each.
PAGES_A_PROBE = 200
USERS_REMEMBERED = 5000


class Form(enum.Enum):
    """How a policy is written."""

    POINT = "point"
    SETS = "sets"
    WALK = "walk"


class _Filter(ColumnElement[bool]):
    """A condition that is only ever a filter: SQLite would else read all it allows, by several indexes, before it sorts."""

    inherit_cache = True
    __visit_name__ = "crm_filter"
    _traverse_internals: Any = elements.Grouping._traverse_internals

    def __init__(self, element: ColumnElement[bool]) -> None:
        self.element = element
        self.type = element.type


@compiles(_Filter)
def _plain(element: _Filter, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({compiler.process(element.element, **kw)})"


@compiles(_Filter, "sqlite")
def _unindexed(element: _Filter, compiler: SQLCompiler, **kw: Any) -> str:
    return f"+({compiler.process(element.element, **kw)})"


def as_filter(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Keep SQLite from driving a statement by *condition*."""
    return _Filter(condition)


def by_ids(table: Table, condition: ColumnElement[bool], within: ColumnElement[bool]) -> ColumnElement[bool]:
    """Write an OR as the ids of a union, each part driven by its own index.

    PostgreSQL cannot combine indexes over subqueries, and SQLite does not without statistics, which an embedded database seldom has.
    """
    parts: list[ColumnElement[bool]] = []
    for branch in branches(condition):
        if not any(branch.compare(part) for part in parts):
            parts.append(branch)
    if len(parts) == 1:
        return condition
    return table.c.id.in_(union_all(*(select(table.c.id).where(within, part).correlate(None) for part in parts)))


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


class Planner:
    """Chooses the form of each statement of one lens.

    Args:
        tables: the physical tables of the entities whose rows are limited by a policy.
        sees_few: asks the database whether the user sees at most 2,000 records of an entity.
    """

    def __init__(self, tables: Mapping[EntityTable, Table], sees_few: Callable[[Connection, EntityTable, Mapping[str, Any]], bool]) -> None:
        self._ordered = {t: frozenset(_ordered_by(physical)) for t, physical in tables.items()}
        self._sees_few = sees_few
        self._known: LRUCache[Any, list[Any]] = LRUCache(USERS_REMEMBERED)

    def choose(self, connection: Connection, statement: Any, params: Mapping[str, Any]) -> tuple[Form, EntityTable | None]:
        """Return a form, and the entity it is for; None for all. The rest is written as ``POINT``."""
        if not self._ordered or (isinstance(statement, Select) and self._is_point(statement)):
            return Form.POINT, None
        if not isinstance(statement, Select) or statement._limit_clause is None:
            return Form.SETS, None
        first = _first_order(statement)
        table = None if first is None else first.table
        if first is None or not isinstance(table, EntityTable) or table not in self._ordered:
            return Form.SETS, None
        if first.name not in self._ordered[table] or self._few(connection, table, params):
            return Form.SETS, table
        return Form.WALK, table

    def _is_point(self, statement: Select[Any]) -> bool:
        """Say whether a statement asks for few records by an index of its own: by id, reference or another indexed field."""
        return any(self._is_chosen(part) for criterion in statement._where_criteria for part in _conjuncts(criterion))

    def _is_chosen(self, part: Any) -> bool:
        if not isinstance(part, elements.BinaryExpression) or part.operator not in (operators.eq, operators.in_op):
            return False
        column = part.left
        if not isinstance(column, EntityColumn) or not isinstance(part.right, elements.BindParameter):
            return False
        table = entity_table(column.table)
        field = getattr(column, "field", None)
        by_key = field is not None and field.kind in ("id", "ref")
        return by_key or (table is not None and column.name in self._ordered.get(table, ()))

    def _few(self, connection: Connection, table: EntityTable, params: Mapping[str, Any]) -> bool:
        key = (table, params.get("crm_tenant"), params.get("crm_me"), params.get("crm_grantees"))
        known = self._known.get(key)
        if known is None or known[1] <= 0:
            known = self._known[key] = [self._sees_few(connection, table, params), PAGES_A_PROBE]
        known[1] -= 1
        return bool(known[0])


def _ordered_by(table: Table) -> Iterator[str]:
    """Yield the columns that an index has right behind the tenant."""
    for index in table.indexes:
        names = [c.name for c in index.columns]
        if names[:1] == ["tenant"] and len(names) > 1:
            yield names[1]


def _conjuncts(criterion: Any) -> Sequence[Any]:
    if isinstance(criterion, elements.BooleanClauseList) and criterion.operator is operators.and_:
        return criterion.clauses
    return (criterion,)


def _first_order(statement: Select[Any]) -> EntityColumn | None:
    for clause in statement._order_by_clauses[:1]:
        inner: Any = clause
        while isinstance(inner, elements.UnaryExpression | elements._label_reference | elements.Grouping):
            inner = inner.element
        if isinstance(inner, EntityColumn):
            return inner
    return None
