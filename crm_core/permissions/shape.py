"""Shape: a policy's lens over this CRM's tables, with the statements that are asked most often kept compiled.

All actors whose roles give the same policy share one shape; what differs between them are binds.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Select, bindparam, select

from ..entities.columns import columns_by_name
from ..entities.customer import ExchangeRate
from ..entities.meta import logical_table, spec
from ..entities.sqltypes import IdType
from .lens import Lens
from .past import PastTables
from .to_sql import SqlEnv, to_sql
from .views import View

if TYPE_CHECKING:
    from sqlalchemy import Result

    from ..crm import CRM
    from ..entities.codec import Loader
    from ..session import Session
    from .policy import Policy
    from .prepared import Prepared


class Shape:
    """One policy's lens.

    Args:
        past: the tables as they were, for a lens on an instant; without them, the tables as they are.
    """

    def __init__(self, crm: CRM, policy: Policy, past: PastTables | None = None) -> None:
        self._crm = crm
        self.policy = policy
        self._past = past
        self._tables = crm.tables.entities if past is None else past.entities
        self._lists = crm.tables.lists if past is None else past.lists
        self._views = {e: self._view(e) for e in crm.registry.entities}
        self.lens = Lens(
            {logical_table(e): v for e, v in self._views.items()}, rates=self._tables[ExchangeRate], dialect=crm.bound.engine.dialect
        )
        self._readings: dict[type[Any], tuple[Select[Any], Loader]] = {}
        self._gets: dict[type[Any], tuple[Prepared, Loader]] = {}

    def _view(self, entity: type[Any]) -> View:
        crm, policy = self._crm, self.policy
        codec, table = crm.codec(entity), self._tables[entity]
        levels = policy.fields(entity)
        rule = policy.rule("read", entity)
        system = crm.tables.system
        env = SqlEnv(table, {spec(e).name: t for e, t in self._tables.items()}, system.member, system.team_member, system.share)
        condition, sets = None, None
        if not policy.is_everything(rule):
            # Plans are made for tables and their indexes; what is rebuilt has none.
            condition, sets = to_sql(rule, env), None if self._past else to_sql(rule, attrs.evolve(env, form="in"))
        readable = {c for n, f in codec.fields.items() if levels.get(n, "write") != "none" for c in f.columns}
        masked = {c for n, f in codec.fields.items() if levels.get(n) == "masked" for c in f.columns}
        lists = {column: t for (e, column), t in self._lists.items() if e is entity}
        return View(table, condition, frozenset(readable), frozenset(masked), lists, sets, frozenset(codec.extensions))

    @cached_property
    def past(self) -> tuple[Shape, PastTables]:
        """The same policy over the tables as they were, and those."""
        tables = PastTables(self._crm.tables, self._crm.bound.kind)
        return Shape(self._crm, self.policy, tables), tables

    def policies(self, entity: type[Any]) -> Any:
        """Return the condition under which an entity's rows are seen; None where all are."""
        return self._views[entity].policy

    def execute(self, session: Session, statement: Any) -> Result[Any]:
        """Run a statement as the session's actor may see it."""
        return self.lens.execute(session._unit.connection, statement, session.binds)

    def rows(self, session: Session, statement: Any) -> list[Any]:
        """Run a statement as the session's actor may see it and return the driver's rows."""
        return self.lens.raw(session._unit.connection, statement, session.binds)

    def get(self, session: Session, entity: type[Any], id_: str) -> Any:
        """Read one record by id."""
        known = self._gets.get(entity)
        if known is None:
            statement, load = self.reading(session, entity)
            by_id = statement.where(logical_table(entity).c.id == bindparam("record_id", type_=IdType()))
            known = self._gets[entity] = (self.lens.prepare(by_id), load)
        prepared, load = known
        rows = prepared.fetch(session._unit.connection, {**session.binds, "record_id": id_})
        return load(rows[0]) if rows else None

    def reading(self, session: Session, entity: type[Any]) -> tuple[Select[Any], Loader]:
        """Return a select of all that can be read of an entity, and the function that makes a record of each of its rows."""
        known = self._readings.get(entity)
        if known is None:
            columns, load = self._crm.codec(entity).loader(session.reader.readable(entity))
            here = columns_by_name(self._crm.codec(entity).fields.values(), logical_table(entity))
            known = self._readings[entity] = (select(*(here[c] for c in columns)), load)
        return known
