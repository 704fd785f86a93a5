"""Shape: a policy's lens over this CRM's tables, with the statements that are asked most often kept compiled.

All actors whose roles give the same policy share one shape; what differs between them are binds.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Dialect, Select, bindparam, select

from ..entities.columns import columns_by_name
from ..entities.custom import CustomSpec, CustomValues
from ..entities.custom_columns import CustomDocument
from ..entities.customer import ExchangeRate
from ..entities.meta import logical_table
from ..entities.sqltypes import IdType
from ..ondemand import OnDemand
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

MOST_SHAPES = 1_000


class Shape:
    """One policy's lens.

    Args:
        past: the tables as they were, for a lens on an instant; without them, the tables as they are.
    """

    def __init__(self, crm: CRM, policy: Policy, past: PastTables | None = None) -> None:
        self._crm = crm
        self.policy = policy
        self._past = past
        self._tables = crm.tables if past is None else past
        entities = {logical_table(e): e for e in crm.registry.entities}
        # Plans are made for tables and their indexes; what is rebuilt has none.
        seen = () if past is not None else [e for e in entities.values() if not policy.is_everything(policy.rule("read", e))]
        limited = {logical_table(e): crm.tables.name(e) for e in seen}
        self._views = OnDemand(entities, lambda table: self._view(entities[table]))
        self.lens = Lens(self._views, limited=limited, rates=self._tables.entities[ExchangeRate], dialect=crm.bound.dialect)
        self._readings: dict[type[Any], tuple[Select[Any], Select[Any], Loader]] = {}
        self._gets: dict[tuple[type[Any], bool, str], Prepared] = {}

    def _view(self, entity: type[Any]) -> View:
        crm, policy = self._crm, self.policy
        crm.adoption._read(entity)
        crm.ungranted.read(policy, entity)
        codec, table = crm.codec(entity), self._tables.entities[entity]
        levels = policy.fields(entity)
        rule = policy.rule("read", entity)
        system = crm.tables.system
        env = SqlEnv(table, self._tables.named, system.member, system.team_member, system.share)
        condition, sets = None, None
        if not policy.is_everything(rule):
            condition, sets = to_sql(rule, env), None if self._past else to_sql(rule, attrs.evolve(env, form="in"))
        readable = {c for n, f in codec.fields.items() if levels.get(n, "write") != "none" for c in f.columns}
        masked = {c for n, f in codec.fields.items() if levels.get(n) == "masked" for c in f.columns}
        lists = {column: self._tables.lists[e, column] for e, column in self._tables.lists if e is entity}
        custom = self._tables.custom(entity)
        return View(table, condition, frozenset(readable), frozenset(masked), lists, sets, frozenset(codec.extensions), custom)

    @cached_property
    def past(self) -> tuple[Shape, PastTables]:
        """The same policy over the tables as they were, and those."""
        tables = PastTables(self._crm.tables, self._crm.bound.kind)
        return Shape(self._crm, self.policy, tables), tables

    def policies(self, entity: type[Any]) -> Any:
        """Return the condition under which an entity's rows are seen; None where all are."""
        return self._views[logical_table(entity)].policy

    def execute(self, session: Session, statement: Any) -> Result[Any]:
        """Run a statement as the session's actor may see it."""
        return self.lens.execute(session._unit.connection, statement, session.binds)

    def rows(self, session: Session, statement: Any) -> list[Any]:
        """Run a statement as the session's actor may see it and return the driver's rows."""
        return self.lens.raw(session._unit.connection, statement, session.binds)

    def get(self, session: Session, entity: type[Any], id_: str) -> Any:
        """Read one record by id."""
        statement, load = self.reading(session, entity)
        connection = session._unit.connection
        # An asynchronous engine's drivers, within its loop and outside, do not take one text.
        key = (entity, statement is self._readings[entity][0], connection.dialect.paramstyle)
        prepared = self._gets.get(key)
        if prepared is None:
            by_id = statement.where(logical_table(entity).c.id == bindparam("record_id", type_=IdType()))
            prepared = self._gets[key] = self.lens.prepare(by_id, connection.dialect)
        rows = prepared.fetch(connection, {**session.binds, "record_id": id_})
        return load(rows[0]) if rows else None

    def reading(self, session: Session, entity: type[Any]) -> tuple[Select[Any], Loader]:
        """Return a select of all that can be read of an entity, and the function that makes a record of each of its rows."""
        known = self._readings.get(entity)
        if known is None:
            codec, table = self._crm.codec(entity), logical_table(entity)
            columns, load = codec.loader(session.reader.readable(entity) & codec.every)
            here = columns_by_name(codec.fields.values(), table)
            plain = select(*(here[c] for c in columns))
            known = self._readings[entity] = (plain, plain.add_columns(CustomDocument(table.c.id)), load)
        plain, whole, load = known
        custom = session.custom.readable(self.policy, entity)
        return (whole, partial(_with_custom, load, custom.values())) if custom else (plain, load)


def _with_custom(load: Loader, fields: Collection[CustomSpec], row: Any) -> Any:
    """Make a record of a row that ends with the values of its custom fields."""
    record, kept = load(row), row[-1]
    raws = json.loads(kept) if kept else {}
    record._custom = CustomValues((f.short, f.from_raw(raws[f.id]) if f.id in raws else None) for f in fields)
    return record


class Shapes:
    """The shapes of one CRM: those of the last thousand policies, since policies go when a tenant's roles change."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._made: dict[tuple[Policy, Dialect], Shape] = {}

    def of(self, policy: Policy) -> Shape:
        """Return the lens of a policy."""
        key = policy, self._crm.bound.dialect
        found = self._made.get(key)
        if found is None:
            while len(self._made) >= MOST_SHAPES:
                self._made.pop(next(iter(self._made)), None)
            found = self._made[key] = Shape(self._crm, policy)
        return found
