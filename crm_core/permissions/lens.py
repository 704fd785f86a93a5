"""The lens: the one door out. A select goes in, and comes back with what its actor may see.

A lens is the shape of a view, not an actor: who asks, in which tenant and teams, are binds (``crm_me``, ``crm_tenant``, ...) given
at execution, so all actors of a shape share one cache of compiled statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from sqlalchemy import CompoundSelect, Connection, Dialect, Executable, FromClause, Result, Select, Table, func, select
from sqlalchemy.engine.interfaces import CompiledCacheType
from sqlalchemy.exc import ArgumentError, CompileError
from sqlalchemy.util import LRUCache

from ..entities.columns import EntityTable
from ..errors import Refused
from . import (
    custom_sql,  # noqa: F401  # its rules say how custom fields are written
    money_sql,  # noqa: F401  # its rules say how money is written
    sealed_sql,  # noqa: F401  # and how sealed values are found
)
from .guard import guard
from .plans import FEW, Form, Planner
from .prepared import Prepared, driver_rows, prepare
from .rowids import sees_few
from .views import OPTION, View, Views

CACHED_STATEMENTS = 500

AnySelect: TypeAlias = Select[Any] | CompoundSelect[Any]


class _Compiled(LRUCache[Any, Any]):
    """Compiled statements of one lens. What comes in was compiled just now and has not run: here it is guarded."""

    def __init__(self, check: Callable[[Any], None]) -> None:
        super().__init__(CACHED_STATEMENTS)
        self._check = check

    def __setitem__(self, key: Any, compiled: Any) -> None:
        self._check(compiled.statement)
        super().__setitem__(key, compiled)


class Lens:
    """The entities as the actors of one shape see them. Immutable, and safe to share between threads.

    Args:
        views: a view for each entity that can be read; others do not exist.
        limited: the physical tables' names of the entities of which a policy shows some rows alone.
        rates: the physical table of exchange rates, for ``Opportunity.amount.to("EUR")``.
        dialect: of the database, for :meth:`prepare`.
        include_deleted: show soft-deleted records too.
    """

    def __init__(
        self,
        views: Mapping[EntityTable, View],
        *,
        limited: Mapping[EntityTable, str],
        rates: FromClause | None = None,
        dialect: Dialect,
        include_deleted: bool = False,
    ) -> None:
        self._views = views
        self._rates = rates
        self._include_deleted = include_deleted
        self.dialect = dialect
        self._planner = Planner(limited, lambda table: cast(Table, views[table].physical), self._sees_few, self._seen_of)
        self._forms: dict[tuple[Form, EntityTable | None], tuple[Views, CompiledCacheType]] = {}
        self._point, _ = self._form(Form.POINT, None)

    def execute(self, connection: Connection, statement: Executable, params: Mapping[str, Any], *, form: Form | None = None) -> Result[Any]:
        """Run a select as the actor whose values are *params*, in the form that suits it best, or in *form*.

        Raises:
            Refused: the statement holds what only the core may say (tables, text, writes, functions that are not on the list).
            NotReadable: it names a field that this shape cannot read.
            MixedCurrency: it adds or sorts amounts of unlike currencies.
        """
        asked = _select(statement)
        views, compiled = self._form(*((form, None) if form else self._planner.choose(connection, asked, params)))
        bound, given = _bound(asked, views)
        try:
            return connection.execute(bound, {**given, **params}, execution_options={"compiled_cache": compiled})
        except (CompileError, ArgumentError, NotImplementedError) as problem:
            raise Refused("statement_not_understood", reason=str(problem)[:200]) from problem

    def raw(self, connection: Connection, statement: Executable, params: Mapping[str, Any]) -> list[Any]:
        """Run a select like :meth:`execute` and return the driver's rows, whose values no type has read."""
        return driver_rows(self.execute(connection, statement, params))

    def prepare(self, statement: Executable, dialect: Dialect | None = None) -> Prepared:
        """Compile a select for good, for *dialect* where it is another driver's; its named parameters get their values with the actor's.

        Raises:
            Refused: it is no statement for a lens, or ``not_preparable``: its text depends on its values (a list in IN).
        """
        bound, _ = _bound(_select(statement), self._point)
        self.check(bound)
        return prepare(bound.compile(dialect=dialect or self.dialect), dialect or self.dialect)

    def _form(self, form: Form, driver: EntityTable | None) -> tuple[Views, CompiledCacheType]:
        """Return the views written in a form, with the statements compiled on them."""
        found = self._forms.get((form, driver))
        if found is None:
            views = Views(self._views, rates=self._rates, include_deleted=self._include_deleted, form=form, driver=driver)
            found = self._forms.setdefault((form, driver), (views, _Compiled(self.check)))
        return found

    def _sees_few(self, connection: Connection, table: EntityTable, page: Select[Any], params: Mapping[str, Any]) -> bool:
        view = self._views[table]
        if view.numbered(self.dialect.name) and view.sets is not None:
            return sees_few(connection, cast(Table, view.physical), view.sets, page, params, at_least=FEW)
        beyond = select(table.c.id).limit(1).offset(FEW)
        return self.execute(connection, beyond, params, form=self._planner.sets(connection)).first() is None

    def _seen_of(self, connection: Connection, table: EntityTable, ids: Sequence[str], params: Mapping[str, Any]) -> int:
        seen = select(func.count()).select_from(table).where(table.c.id.in_(ids))
        return int(self.execute(connection, seen, params, form=Form.POINT).scalar_one())

    def check(self, statement: Any) -> None:
        """Refuse a statement that holds anything outside the closed list."""
        guard(statement, self._point.is_masked)


def _select(statement: Any) -> AnySelect:
    if type(statement) is not Select and type(statement) is not CompoundSelect:
        raise Refused("not_a_select", given=type(statement).__name__)
    return statement


def _bound(statement: AnySelect, views: Views) -> tuple[AnySelect, Mapping[str, Any]]:
    """Return *statement* with these views on it, and the values that ``statement.params()`` gave.

    What the cache of compiled statements cannot tell apart is checked here, at every execution.
    """
    if statement._execution_options:
        raise Refused("statement_options", options=sorted(map(str, statement._execution_options)))
    bound = statement.execution_options(**{OPTION: views})
    key = bound._generate_cache_key()
    if key is None:
        guard(bound, views.is_masked)
        raise Refused("forbidden_element", element="without a cache key")
    given = key.params or {}
    # A value given by name would also reach a constant of the policy that happens to have that name.
    unknown = set(given) - {b.key for b in key.bindparams if not b.unique}
    if unknown:
        raise Refused("unknown_parameter", names=sorted(map(str, unknown)))
    return bound, given
