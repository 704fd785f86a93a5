"""The lens: the one door out. A select goes in, and comes back with what its actor may see.

A lens is the shape of a view, not an actor: who asks, in which tenant and teams, are binds (``crm_me``, ``crm_tenant``, ...) given
at execution, so all actors of a shape share one cache of compiled statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sqlalchemy import CompoundSelect, Connection, Dialect, Executable, Result, Select, Table
from sqlalchemy.engine.interfaces import CompiledCacheType
from sqlalchemy.exc import ArgumentError, CompileError
from sqlalchemy.util import LRUCache

from ..entities.columns import EntityTable
from ..errors import Refused
from . import money_sql  # noqa: F401  # its rules say how money is written
from .guard import guard
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
        rates: the physical table of exchange rates, for ``Opportunity.amount.to("EUR")``.
        dialect: of the database, for :meth:`prepare`.
        include_deleted: show soft-deleted records too.
    """

    def __init__(
        self, views: Mapping[EntityTable, View], *, rates: Table | None = None, dialect: Dialect, include_deleted: bool = False
    ) -> None:
        self.views = Views(views, rates=rates, include_deleted=include_deleted)
        self.dialect = dialect
        self._compiled: CompiledCacheType = _Compiled(self.check)

    def execute(self, connection: Connection, statement: Executable, params: Mapping[str, Any]) -> Result[Any]:
        """Run a select as the actor whose values are *params*.

        Raises:
            Refused: the statement holds what only the core may say (tables, text, writes, functions that are not on the list).
            NotReadable: it names a field that this shape cannot read.
            MixedCurrency: it adds or sorts amounts of unlike currencies.
        """
        bound, given = self._bound(statement)
        try:
            return connection.execute(bound, {**given, **params}, execution_options={"compiled_cache": self._compiled})
        except (CompileError, ArgumentError, NotImplementedError) as problem:
            raise Refused("statement_not_understood", reason=str(problem)[:200]) from problem

    def _bound(self, statement: Executable) -> tuple[AnySelect, Mapping[str, Any]]:
        """Return *statement* with these views on it, and the values that ``statement.params()`` gave.

        What the cache of compiled statements cannot tell apart is checked here, at every execution.
        """
        if type(statement) is not Select and type(statement) is not CompoundSelect:
            raise Refused("not_a_select", given=type(statement).__name__)
        if statement._execution_options:
            raise Refused("statement_options", options=sorted(map(str, statement._execution_options)))
        bound = statement.execution_options(**{OPTION: self.views})
        key = bound._generate_cache_key()
        if key is None:
            self.check(bound)
            raise Refused("forbidden_element", element="without a cache key")
        given = key.params or {}
        # A value given by name would also reach a constant of the policy that happens to have that name.
        unknown = set(given) - {b.key for b in key.bindparams if not b.unique}
        if unknown:
            raise Refused("unknown_parameter", names=sorted(map(str, unknown)))
        return bound, given

    def check(self, statement: Any) -> None:
        """Refuse a statement that holds anything outside the closed list."""
        guard(statement, self.views.is_masked)
