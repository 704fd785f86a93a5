"""Views: what the entities are written as in a statement. SQLAlchemy's compiler asks the rules below.

An entity becomes ``(SELECT readable columns FROM table WHERE policy) AS name``; no statement is rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import attrs
from sqlalchemy import Column, ColumnElement, FromClause, Join, Select, String, Table, and_, bindparam, case, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler, StrSQLCompiler

from ..entities.columns import EntityColumn, EntityTable, entity_table
from ..entities.meta import spec
from ..entities.sealing import CELL, MASK
from ..errors import NotReadable, Refused
from . import rowids, unions
from .fence import may_fail
from .plans import Form, as_filter, as_opaque, driven_by_values

OPTION = "crm_views"


@attrs.frozen(eq=False)
class View:
    """What is seen of one entity.

    Attributes:
        physical: its table, or what stands for it.
        policy: which rows, as a condition on ``physical.c``; None for all of the tenant.
        sets: the same rows, written with IN over sets that do not depend on the row; see :mod:`.plans`. None to do without.
        readable: names of the physical columns that can be read, masked ones included.
        masked: those of them that show as ``***`` where they are not NULL. Only text can be masked.
        lists: index tables of the embedded lists, by column.
        extensions: those that this CRM has.
        custom: the table of the values of custom fields.
    """

    physical: FromClause
    policy: ColumnElement[bool] | None
    readable: frozenset[str]
    masked: frozenset[str] = frozenset()
    lists: Mapping[str, FromClause] = attrs.field(factory=dict)
    sets: ColumnElement[bool] | None = None
    extensions: frozenset[type[Any]] = frozenset()
    custom: FromClause | None = None

    def rows(self, form: Form, statement: Any, *, include_deleted: bool, led: bool = False, dialect: str = "") -> Select[Any]:
        """Select what is seen: of the actor's tenant alone, living, and as the policy says; *statement* is what it is read for.

        Where something else *led* to the records, what says whose they are is only a filter.
        """
        within = mine = self.physical.c.tenant == tenant()
        if not include_deleted:
            within = and_(within, self.physical.c.deleted_at.is_(None))
        shown = select(*(self._shown(c) for c in self.physical.c if c.name in self.readable))
        sqlite, numbered = dialect == "sqlite", self.numbered(dialect)
        if form is Form.SCAN:
            whole = [] if self.sets is None else [rowids.either(self.sets) if sqlite else self.sets]
            return shown.where(as_opaque(and_(within, *whole)))
        driven = led or form is Form.TOP or (numbered and form is Form.SETS and self.sets is not None)
        condition = self._condition(form, statement, mine, within, sqlite=sqlite, numbered=numbered)
        shown = shown.where(as_filter(within) if driven else within)
        return shown if condition is None else shown.where(condition)

    def numbered(self, dialect: str) -> bool:
        """Say whether the rows have numbers of SQLite's. What a host's table stands for is a select, whose rows have none."""
        return dialect == "sqlite" and type(self.physical) is Table

    def _condition(
        self, form: Form, statement: Any, mine: ColumnElement[bool], within: ColumnElement[bool], *, sqlite: bool, numbered: bool
    ) -> ColumnElement[bool] | None:
        if self.policy is None or self.sets is None or form is Form.POINT:
            return self.policy
        if form is Form.WALK:
            return as_filter(rowids.either(self.sets) if sqlite else self.sets)
        table = cast(Table, self.physical)  # what has sets is one
        if form is Form.TOP:
            first = rowids.first_rows if numbered else unions.by_first_ids
            return first(table, self.sets, mine, within, statement)
        return (rowids.all_rows if numbered else unions.by_ids)(table, self.sets, mine)

    def _shown(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        if column.name not in self.masked:
            # Of the past it is a cell already.
            shown: ColumnElement[Any] = column.info.get(CELL, column) if isinstance(column, Column) else column
            return shown
        mask: ColumnElement[str] = literal_column(f"'{MASK}'", String())
        return case((column.is_not(None), mask)).label(column.name)


def tenant() -> ColumnElement[str]:
    """Return the bind of the actor's tenant. Without a value it is NULL, and nothing is seen."""
    return bindparam("crm_tenant", None, type_=String())


class Views:
    """The entities as the actors of one shape see them: a view for each that can be read; others do not exist.

    Attributes:
        rates: the physical table of exchange rates.
        include_deleted: show soft-deleted records too.
        form: how policies are written: that of *driver*, or of all where it is None.
    """

    def __init__(
        self,
        views: Mapping[EntityTable, View],
        *,
        rates: FromClause | None = None,
        include_deleted: bool = False,
        form: Form = Form.POINT,
        driver: EntityTable | None = None,
    ) -> None:
        self._views = views
        self.rates = rates
        self.include_deleted = include_deleted
        self.form = form
        self.driver = driver

    def __getitem__(self, table: EntityTable) -> View:
        """Return what is seen of an entity.

        Raises:
            NotReadable: nothing.
        """
        found = self._views.get(table)
        if found is None:
            raise NotReadable("entity_not_readable", entity=entity_name(table))
        return found

    def rows(self, table: EntityTable, compiler: SQLCompiler, named: Any = None) -> Select[Any]:
        """Select what is seen of an entity, for the statement that is compiled; *named* is the alias it has there."""
        form = self.form if self.driver is table or (self.driver is None and self.form is not Form.TOP) else Form.POINT
        sqlite = compiler.dialect.name == "sqlite"
        failing = _may_fail(compiler)
        if failing and form is Form.WALK:
            form = Form.SETS
        if form is Form.SETS and sqlite and not _is_first(table if named is None else named, compiler):
            form = Form.WALK
        led = sqlite and driven_by_values(compiler.statement, table if named is None else named)
        rows = self[table].rows(form, compiler.statement, include_deleted=self.include_deleted, led=led, dialect=compiler.dialect.name)
        driven = form in (Form.SETS, Form.TOP) and self[table].sets is not None
        fenced = _is_joined(compiler) if sqlite else self.driver is table
        # PostgreSQL would walk the page's order and hope to meet a user's few rows soon, and SQLite would carry the IN over to the other
        # side of the join and read the whole set again for each row; behind OFFSET they are found first. So they must be where a
        # condition of the statement could fail on rows that are not seen.
        return rows.offset(0) if failing or (driven and fenced) else rows

    def column(self, table: EntityTable, column: EntityColumn) -> ColumnElement[Any]:
        """Return the physical column behind a logical one of *table*.

        Raises:
            NotReadable: it is hidden, or belongs to a plugin that this CRM does not have.
        """
        view, name = self[table], column.name
        if name not in view.readable or name not in view.physical.c or column.extension not in (None, *view.extensions):
            raise NotReadable(entity=entity_name(table), field=name)
        return view.physical.c[name]

    def is_masked(self, column: EntityColumn) -> bool:
        """Say whether a column shows as ``***``."""
        table = entity_table(column.table)
        return table is not None and table in self._views and column.name in self._views[table].masked


def _may_fail(compiler: SQLCompiler) -> bool:
    """Say whether the statement that is compiled could fail on a record; found out once for all entities in it."""
    kept: Any = compiler
    if not hasattr(kept, "crm_may_fail"):
        kept.crm_may_fail = may_fail(kept.statement)
    return bool(kept.crm_may_fail)


def _is_first(named: Any, compiler: SQLCompiler) -> bool:
    """Say whether an entity or alias is the first that the select names which is compiled just now, and the select stands for itself."""
    entry: Any = compiler.stack[-1]
    correlated = any(f not in entry["asfrom_froms"] for f in entry["compile_state"].froms)
    return not correlated and entry.setdefault("crm_first", named) is named


def _is_joined(compiler: SQLCompiler) -> bool:
    """Say whether the select which is compiled just now reads from more than one."""
    entry: Any = compiler.stack[-1]
    return sum(not isinstance(f, Join) for f in entry["asfrom_froms"]) > 1


def entity_name(table: EntityTable) -> str:
    """Return the name users know an entity by."""
    return spec(table.entity).name if hasattr(table, "entity") else table.name


def views_of(compiler: SQLCompiler, what: str) -> Views | None:
    """Return the views a statement is compiled with; None where it is only printed, never executed.

    Raises:
        Refused: there is none, so entities would be read outside a session.
    """
    found = compiler.execution_options.get(OPTION)
    if isinstance(found, Views):
        return found
    if isinstance(compiler, StrSQLCompiler):
        return None
    raise Refused("outside_session", what=what)


@compiles(EntityTable)
def _render_table(
    table: EntityTable,
    compiler: SQLCompiler,
    asfrom: bool = False,
    iscrud: bool = False,
    enclosing_alias: Any = None,
    from_linter: Any = None,
    **_: Any,
) -> str:
    views = views_of(compiler, table.name)
    name = compiler.preparer.quote(table.name)
    if views is None or not asfrom:
        return name
    if iscrud:
        raise Refused("not_a_select", given=table.name)
    if from_linter:
        from_linter.froms[table] = table.name
    aliased = enclosing_alias is not None and enclosing_alias.element is table
    body = f"({compiler.process(views.rows(table, compiler, enclosing_alias if aliased else None), asfrom=True)})"
    # An alias writes AS and its own name behind what it gets.
    return body if aliased else f"{body} AS {name}"


@compiles(EntityColumn)
def _render_column(column: EntityColumn, compiler: SQLCompiler, **kw: Any) -> str:
    table = entity_table(column.table)
    if table is not None:
        views = views_of(compiler, f"{table.name}.{column.name}")
        if views is not None:
            views.column(table, column)
    return compiler.visit_column(column, **kw)
