"""The tables as they were: what has not changed since an instant, and beside it, as JSON in binds, what has changed as it stood then.

They take the place of the physical tables in a lens, policies and dated rates included, so that a statement means then what it means now.
Whose rows changed, and what they were, is not part of the SQL: one lens serves every instant.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, FromClause, Select, Table, Text, bindparam, cast, column, func, literal_column, select, union_all
from sqlalchemy.sql import visitors

from ..entities.columns import EntityColumn, entity_table
from ..entities.meta import logical_table, spec
from ..entities.sealing import CELL
from ..entities.sqltypes import PLAIN_JSON, IdType
from ..ondemand import OnDemand
from .views import tenant

if TYPE_CHECKING:
    from ..storage.supported import Kind
    from ..storage.tables import Tables


class PastTables:
    """The tables of one CRM as they were at the instant that the binds speak of.

    Attributes:
        entities: the rows of each entity that there were then, of the actor's tenant.
        lists: the index rows of embedded lists, by entity and column.
        named: as ``entities``, by the entity's name.
    """

    def __init__(self, tables: Tables, kind: Kind) -> None:
        self._kind = kind
        self._names = {entity: f"crm_past_{i}" for i, entity in enumerate(tables.entities)}
        self._by_bind = {f"{name}_ids": entity for entity, name in self._names.items()}
        self._now = tables
        self.entities: Mapping[type[Any], FromClause] = OnDemand(tables.entities, self._entity)
        self.lists: Mapping[tuple[type[Any], str], FromClause] = OnDemand(tables.lists, self._list)
        by_name = {spec(entity).name: entity for entity in tables.entities}
        self.named: Mapping[str, FromClause] = OnDemand(by_name, lambda name: self.entities[by_name[name]])

    def binds(self, entity: type[Any], ids: Sequence[str], rows: str, lists: Mapping[str, str], custom: str) -> dict[str, str]:
        """Return the values of an entity's binds.

        Args:
            ids: the records that changed since.
            rows: those that there were, as JSON in the form of :func:`as_json`.
            lists: the rows of their embedded lists, by column.
            custom: the values of their custom fields.
        """
        name = self._names[entity]
        listed = {f"{name}_{column}": given for column, given in lists.items()}
        return {f"{name}_ids": json.dumps(ids), f"{name}_rows": rows, f"{name}_custom": custom, **listed}

    def mentioned(self, statement: Any) -> set[type[Any]]:
        """Return the entities that a statement over entities names."""
        parts = [entity_table(p.table if isinstance(p, EntityColumn) else p) for p in visitors.iterate(statement)]
        known = {logical_table(entity): entity for entity in self._names}
        return {known[p] for p in parts if p is not None}

    def asked(self, condition: Any) -> set[type[Any]]:
        """Return the entities whose past a policy asks."""
        parts = () if condition is None else visitors.iterate(condition)
        return {self._by_bind[p.key] for p in parts if isinstance(p, BindParameter) and p.key in self._by_bind}

    def _entity(self, entity: type[Any]) -> FromClause:
        table = self._now.entities[entity]
        return self._then(entity, table, table.c.id, "rows")

    def _list(self, key: tuple[type[Any], str]) -> FromClause:
        table = self._now.lists[key]
        return self._then(key[0], table, table.c.record, key[1])

    def custom(self, entity: type[Any]) -> FromClause:
        """Return the values of custom fields of the records of an entity, as they were."""
        table = self._now.system.custom_value
        return self._then(entity, table, table.c.record, "custom")

    def _then(self, entity: type[Any], table: Table, record: Any, part: str) -> FromClause:
        name = self._names[entity]
        changed = self._texts(f"{name}_ids")
        # What is sealed stands as cells on both sides: those given were sealed anew, under a key of this moment's own.
        same = select(*(c.info.get(CELL, c) for c in table.c)).where(table.c.tenant == tenant(), record.not_in(changed))
        return union_all(same, self._given(f"{name}_{part}", table.c)).subquery(table.name)

    def _texts(self, name: str) -> Select[Any]:
        if self._kind == "sqlite":
            return select(func.json_each(_bind(name)).table_valued("value", name=f"{name}_each").c.value)
        texts = func.jsonb_array_elements_text(cast(_bind(name), PLAIN_JSON)).table_valued("value", name=f"{name}_each")
        return select(cast(texts.c.value, IdType()))

    def _given(self, name: str, columns: Iterable[Any]) -> Select[Any]:
        wanted: Sequence[Any] = list(columns)
        if self._kind == "sqlite":
            value = func.json_each(_bind(name)).table_valued("value", name=f"{name}_each").c.value
            # Its type alone: what a type would do to the value was done before it was written as JSON.
            found = [func.json_extract(value, literal_column(f"'$[{i}]'"), type_=c.type) for i, c in enumerate(wanted)]
            return select(*(f.label(c.name) for f, c in zip(found, wanted, strict=True)))
        given = func.jsonb_to_recordset(cast(_bind(name), PLAIN_JSON)).table_valued(
            *(column(c.name, c.type) for c in wanted), name=f"{name}_each"
        )
        return select(*given.render_derived(with_types=True).c)


def as_json(columns: Sequence[str], rows: Iterable[Sequence[Any]], kind: Kind, nested: Collection[str] = ()) -> str:
    """Write a driver's rows as JSON: arrays on SQLite, objects on PostgreSQL, where the *nested* columns hold JSON themselves."""
    if kind == "sqlite":
        return json.dumps(list(rows))
    made = [dict(zip(columns, row, strict=True)) for row in rows]
    for values in made:
        values |= {n: json.loads(values[n]) for n in nested if values[n] is not None}
    return json.dumps(made, default=str)


def _bind(name: str) -> Any:
    # Without a value it is an error, not an empty past.
    return bindparam(name, type_=Text(), required=True)
