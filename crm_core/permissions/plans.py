"""Plans: one policy can be written in ways that mean the same and cost unlike. Which one a statement gets is chosen here.

- ``POINT``: the policy row by row (EXISTS), for single records and for whatever is joined to a page.
- ``SETS``: the sets behind the policy first (owners, shared ids), then the rows by index: aggregates, lists, and the pages of a user
  who sees little.
- ``TOP``: of each set the first rows alone, as many as the page has: the pages that want nothing but columns of their entity.
- ``WALK``: along the index of the page's order, the sets as a filter: the pages of a user who sees much, and what SQLite joins to rows that
  sets found.
- ``SCAN``: the table read once, the tenant and the sets as a filter: what PostgreSQL has no statistics of, and on SQLite the aggregates of
  a user who sees much of a large table, where half of the rows, found one by one, cost as much as all that are read in passing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Join,
    Select,
    SelectBase,
    Table,
    column,
    func,
    select,
)
from sqlalchemy import table as sa_table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import elements, operators, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.util import LRUCache

from ..entities.columns import EntityColumn, EntityTable, ListContains, entity_table
from ..entities.custom_columns import CustomDocument, CustomMatch, CustomOrder
from ..entities.fields import FieldSpec
from ..ondemand import OnDemand
from .rowids import SAMPLE, row_number, sample
from .unions import conjuncts

FEW = 2000
# A plan is a hint: whether a user sees few, or much, is asked again after so many statements, not at each.
PAGES_A_PROBE = 200
# Who sees this part of a large table sees much.
MUCH = 0.45
# Where PostgreSQL has no statistics of a table, a loop over this many bytes is still a short one.
SMALL = 1 << 20
USERS_REMEMBERED = 5000


pg_class = sa_table("pg_class", column("oid"), column("relname"), column("reltuples"))


class Form(enum.Enum):
    """How a policy is written."""

    POINT = "point"
    SETS = "sets"
    TOP = "top"
    WALK = "walk"
    SCAN = "scan"


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
    # As WHEN, whose condition ends with the first part that decides it; as a value all parts would be computed.
    return f"(CASE WHEN {compiler.process(element.element, **kw)} THEN 1 ELSE 0 END)"


def as_filter(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Keep SQLite from driving a statement by *condition*."""
    return _Filter(condition)


class _Opaque(_Filter):
    """A condition that PostgreSQL takes to hold for every second row, whatever it knows, and that no index serves."""

    inherit_cache = True


@compiles(_Opaque, "postgresql")
def _unestimated(element: _Opaque, compiler: SQLCompiler, **kw: Any) -> str:
    return f"COALESCE({compiler.process(element.element, **kw)}, false)"


def as_opaque(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Keep PostgreSQL from driving a statement by *condition*, and from thinking that it leaves a single row."""
    return _Opaque(condition)


class Planner:
    """Chooses the form of each statement of one lens.

    Args:
        limited: the physical tables' names of the entities whose rows are limited by a policy.
        physical: tells such an entity's table.
        sees_few: asks the database whether the user sees so few records of an entity, at least 2,000, that a page is found among them
            sooner than on the way along its order.
        seen_of: asks the database how many of some ids the user sees.
    """

    def __init__(
        self,
        limited: Mapping[EntityTable, str],
        physical: Callable[[EntityTable], Table],
        sees_few: Callable[[Connection, EntityTable, Select[Any], Mapping[str, Any]], bool],
        seen_of: Callable[[Connection, EntityTable, Sequence[str], Mapping[str, Any]], int],
    ) -> None:
        self._physical = physical
        self._seen_of = seen_of
        self._ordered = OnDemand(limited, lambda table: frozenset(_ordered_by(physical(table))))
        self._sees_few = sees_few
        self._known: LRUCache[Any, list[Any]] = LRUCache(USERS_REMEMBERED)
        self._unmeasured = set(limited.values())

    def choose(self, connection: Connection, statement: Any, params: Mapping[str, Any]) -> tuple[Form, EntityTable | None]:
        """Return a form, and the entity it is for; None for all. The rest is written as ``POINT``."""
        whole = _read_whole(statement) if connection.dialect.name == "sqlite" else None
        if whole is not None and self._sees_much(connection, *whole, params):
            return Form.SCAN, whole[0]
        if not self._ordered:
            return Form.POINT, None
        if not isinstance(statement, Select):
            return self.sets(connection), None
        first = _first_order(statement)
        table = first.table if first is not None and isinstance(first.table, EntityTable) and first.table in self._ordered else None
        top = table is not None and _is_simple_page(statement, table)
        if any(True for criterion in statement._where_criteria for _ in found_by_value(criterion)):
            return Form.POINT, None
        chosen = [c for criterion in statement._where_criteria for c in chosen_columns(criterion)]
        if any(is_key(column) for column in chosen):
            return Form.POINT, None
        if self._unmeasured and _is_join(statement) and self.sets(connection) is Form.SCAN:
            return Form.SCAN, None
        if any(self._is_indexed(column) for column in chosen):
            return (self._page(connection, top), table) if top else (Form.POINT, None)
        if first is None or table is None or statement._limit_clause is None:
            return self.sets(connection), None
        if first.name not in self._ordered[table] or self._few(connection, table, first.name, statement, params):
            return self._page(connection, top), table
        return Form.WALK, table

    def _page(self, connection: Connection, top: bool) -> Form:
        form = self.sets(connection)
        return Form.TOP if top and form is Form.SETS else form

    def sets(self, connection: Connection) -> Form:
        """Return the form of what is not a page: ``SETS``, or ``SCAN`` where PostgreSQL has no statistics of a large table yet.

        It then takes every set, and every tenant, for a single row. A union of sets becomes a loop inside a loop, and a join reads the
        index of the whole tenant again for each row: minutes for 100,000 rows. As a filter the sets are hashed, and the table is read
        once.
        """
        if connection.dialect.name != "postgresql" or not self._unmeasured:
            return Form.SETS
        known = pg_class.c.relname, func.pg_relation_size(pg_class.c.oid) > SMALL
        rows = connection.execute(select(*known).where(pg_class.c.relname.in_(sorted(self._unmeasured)), pg_class.c.reltuples <= 0)).all()
        self._unmeasured = {name for name, _ in rows}
        return Form.SCAN if any(large for _, large in rows) else Form.SETS

    def _is_indexed(self, column: EntityColumn) -> bool:
        table = entity_table(column.table)
        return table is not None and column.name in self._ordered.get(table, ())

    def _few(self, connection: Connection, table: EntityTable, order: str, page: Select[Any], params: Mapping[str, Any]) -> bool:
        return self._remembered(f"few by {order}", table, params, lambda: self._sees_few(connection, table, page, params))

    def _sees_much(self, connection: Connection, table: EntityTable, asked: Sequence[EntityColumn], params: Mapping[str, Any]) -> bool:
        """Say whether a user sees so much of a large table that it is read in passing, unless an index may serve a condition."""
        try:
            physical = self._physical(table)
        except KeyError:  # it is not this CRM's, which the compiler will say
            return False
        if type(physical) is not Table or any(is_key(c) or c.name in {*_ordered_by(physical)} for c in asked):
            return False
        return self._remembered("much", table, params, lambda: self._sampled(connection, table, physical, params) >= MUCH)

    def _sampled(self, connection: Connection, table: EntityTable, physical: Table, params: Mapping[str, Any]) -> float:
        """Return which part of a large table the user sees, going by rows from all over it; 0 of one that is not large."""
        places = sample(connection, physical)
        if not places:
            return 0.0
        ids = connection.execute(select(physical.c.id).where(row_number(physical).in_(places))).scalars().all()
        return self._seen_of(connection, table, ids, params) / SAMPLE

    def _remembered(self, what: str, table: EntityTable, params: Mapping[str, Any], ask: Callable[[], bool]) -> bool:
        key = (what, table, params.get("crm_tenant"), params.get("crm_me"), params.get("crm_grantees"))
        known = self._known.get(key)
        if known is None or known[1] <= 0:
            known = self._known[key] = [ask(), PAGES_A_PROBE]
        known[1] -= 1
        return bool(known[0])


def _read_whole(statement: Any) -> tuple[EntityTable, list[EntityColumn]] | None:
    """Return the one entity that a statement reads as far as its user sees it, and the columns that its conditions name.

    None where it reads another one too, has a limit, or asks for more than is in the row.
    """
    if not isinstance(statement, Select) or statement._limit_clause is not None or statement._setup_joins or statement._independent_ctes:
        return None
    conditions = [part for criterion in statement._where_criteria for part in visitors.iterate(criterion)]
    clauses = (*statement._raw_columns, *statement._from_obj, *statement._order_by_clauses)
    parts = [*conditions, *(part for clause in clauses for part in visitors.iterate(clause))]
    if any(isinstance(part, SelectBase | ListContains) for part in parts):
        return None
    froms: set[Any] = {part.table for part in parts if isinstance(part, EntityColumn)}
    froms |= {part for part in parts if isinstance(part, FromClause) and not isinstance(part, FunctionElement)}
    table = froms.pop() if len(froms) == 1 else None
    return (table, [c for c in conditions if isinstance(c, EntityColumn)]) if isinstance(table, EntityTable) else None


def _is_join(statement: Select[Any]) -> bool:
    """Say whether more than one entity is named, subqueries included."""
    parts = visitors.iterate(statement)
    return len({part.table for part in parts if isinstance(part, EntityColumn)}) > 1


_SIMPLE_OPERATORS = frozenset(
    {operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge, operators.is_, operators.is_not}
)


def _is_simple_page(statement: Select[Any], table: EntityTable) -> bool:
    """Say whether a page compares and sorts nothing but columns of one entity with plain values."""
    if statement._limit_clause is None or statement._offset_clause is not None or statement._distinct or statement._group_by_clauses:
        return False
    if statement._having_criteria or statement._from_obj or statement._setup_joins:
        return False
    if not all(isinstance(c, EntityColumn | CustomDocument) and _table(c) is table for c in statement._raw_columns):
        return False
    parts = (*statement._where_criteria, *statement._order_by_clauses)
    return all(_is_simple(p, table) for part in parts for p in visitors.iterate(part))


def _table(listed: Any) -> Any:
    return listed.id.table if isinstance(listed, CustomDocument) else listed.table


def _is_simple(part: Any, table: EntityTable) -> bool:
    match part:
        case EntityColumn():
            return part.table is table
        case elements.BinaryExpression():
            return part.operator in _SIMPLE_OPERATORS
        case elements.BindParameter():
            return not part.expanding
        case elements.BooleanClauseList() | elements.UnaryExpression() | elements.Grouping() | elements.Null():
            return True
    return False


def chosen_columns(criterion: Any) -> list[EntityColumn]:
    """Return the columns that a criterion wants to be one value, or one of some."""
    return [
        part.left
        for part in conjuncts(criterion)
        if isinstance(part, elements.BinaryExpression)
        and part.operator in (operators.eq, operators.in_op)
        and isinstance(part.left, EntityColumn)
        and isinstance(part.right, elements.BindParameter)
    ]


def found_by_value(criterion: Any) -> Iterator[CustomMatch]:
    """Yield the custom fields by whose values a criterion finds few records."""
    yield from (part for part in conjuncts(criterion) if isinstance(part, CustomMatch) and part.narrow)


def is_key(column: EntityColumn) -> bool:
    """Say whether few records share a value of the column."""
    field: FieldSpec | None = getattr(column, "field", None)
    return field is not None and (field.kind in ("id", "ref") or field.options.unique)


def _ordered_by(table: Table) -> Iterator[str]:
    """Yield the columns that an index has right behind the tenant."""
    for index in table.indexes:
        names = [c.name for c in index.columns]
        if names[:1] == ["tenant"] and len(names) > 1:
            yield names[1]


def driven_by_values(statement: Any, named: Any) -> bool:
    """Say whether custom fields lead a select to the records of an entity or alias, so that no index of theirs is needed but the id's."""
    if not isinstance(statement, Select):
        return False
    if any(isinstance(f, Join) and isinstance(f.left, CustomOrder) for f in statement._from_obj):
        return True
    return any(match.column.id.table is named for criterion in statement._where_criteria for match in found_by_value(criterion))


def _first_order(statement: Select[Any]) -> EntityColumn | None:
    for clause in statement._order_by_clauses[:1]:
        inner: Any = clause
        while isinstance(inner, elements.UnaryExpression | elements._label_reference | elements.Grouping):
            inner = inner.element
        if isinstance(inner, EntityColumn):
            return inner
    return None
