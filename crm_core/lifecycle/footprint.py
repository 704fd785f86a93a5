"""What plugins have in a database: counted, looked for from outside, and deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, Inspector, TableClause, column, delete, func, inspect, literal, select, table

from ..entities.custom_field import CustomField
from ..events.subscription import database_now
from ..storage.revisions.steps import AddColumn, CreateTable, Step

if TYPE_CHECKING:
    from ..crm import CRM

# Tables of the core that are about plugins, by the column that says about which: its name, or a name that begins with it.
_NAMED = {"setting": "plugin", "quarantine": "plugin"}
_PREFIXED = {
    "subscription": "name",
    "parking": "subscription",
    "job": "name",
    "job_run": "job",
    "rollup": "rollup",
    "share": "entity",
    "person_mark": "entity",
}


@attrs.define
class Counted:
    """Rows by tenant and by what they are in; those of no tenant are under ``""``."""

    tables: Counter[tuple[str, str]] = attrs.Factory(Counter)
    columns: Counter[tuple[str, str]] = attrs.Factory(Counter)
    others: Counter[tuple[str, str]] = attrs.Factory(Counter)

    def of(self, tenant: str) -> dict[str, int]:
        """Return a tenant's, by what they are in."""
        rows = self.tables + self.columns + self.others
        return {place: count for (where, place), count in sorted(rows.items()) if where == tenant}


def total(counted: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Add up the tenants."""
    found: Counter[str] = Counter()
    for (_, place), count in counted.items():
        found[place] += count
    return dict(sorted(found.items()))


class Footprint:
    """What some plugins have in a database, by the steps that made it."""

    def __init__(self, crm: CRM, connection: Connection, plugins: Collection[str], steps: Sequence[Step]) -> None:
        self._crm = crm
        self._connection = connection
        self._plugins = plugins
        self._found: Inspector = inspect(connection)
        self._tables = [self._made(s) for s in steps if isinstance(s, CreateTable) and self._is_there(s)]
        own = {name for name, _, _ in self._tables}
        added = [self._made(s) for s in steps if isinstance(s, AddColumn) and self._is_there(s)]
        self._columns = [each for each in added if each[0] not in own]

    def count(self) -> Counted:
        """Count it."""
        counted = Counted()
        for name, schema, _ in self._tables:
            counted.tables[("", name)] += 0
            self._add(counted.tables, name, self._of(name, schema), None)
        for name, schema, added in self._columns:
            counted.columns[("", f"{name}.{added}")] += 0
            self._add(counted.columns, f"{name}.{added}", self._of(name, schema, added), column(added).is_not(None))
        for name, where in self._others():
            self._add(counted.others, name, getattr(self._crm.tables.system, name), where)
        if self._custom:
            self._add(counted.others, "custom_field", self._fields, self._fields.c.id.in_(self._custom))
        return counted

    def at_work(self) -> dict[str, datetime]:
        """Return the plugins' jobs and subscribers that some process runs under a lease, by name: until when it lasts unless renewed."""
        found: dict[str, datetime] = {}
        now = database_now(self._connection)
        for of in (self._crm.tables.system.job, self._crm.tables.system.subscription):
            leased = (
                select(of.c.name, func.max(of.c.until)).where(of.c.name.in_(self._names(of.c.name)), of.c.until > now).group_by(of.c.name)
            )
            found |= dict(map(tuple, self._connection.execute(leased)))
        return dict(sorted(found.items()))

    def pointing(self) -> dict[str, int]:
        """Return how many rows of other tables point at these, by table and column; those that could are named with none."""
        own, added = {name for name, _, _ in self._tables}, {(name, column) for name, _, column in self._columns}
        found: dict[str, int] = {}
        for schema in {self._crm.tables.schema, None}:
            for (_, name), keys in self._found.get_multi_foreign_keys(schema).items():
                for key in keys:
                    [referring, *_] = key["constrained_columns"]
                    if key["referred_table"] in own and name not in own and (name, referring) not in added and name is not None:
                        rows = select(func.count()).select_from(table(name, schema=schema)).where(column(referring).is_not(None))
                        found[f"{name}.{referring}"] = int(self._connection.execute(rows).scalar_one())
        return found

    def clear(self) -> None:
        """Delete the core's rows about the plugins."""
        if self._custom:
            values = self._crm.tables.system.custom_value
            self._connection.execute(delete(values).where(values.c.field.in_(self._custom)))
            self._connection.execute(delete(self._fields).where(self._fields.c.id.in_(self._custom)))
        for name, where in self._others():
            self._connection.execute(delete(getattr(self._crm.tables.system, name)).where(where))

    def _others(self) -> Iterator[tuple[str, Any]]:
        """Yield tables of the core, and which of their rows are about the plugins."""
        system = self._crm.tables.system
        for name, key in _NAMED.items():
            yield name, getattr(system, name).c[key].in_(sorted(self._plugins))
        for name, key in _PREFIXED.items():
            yield name, getattr(system, name).c[key].in_(self._names(getattr(system, name).c[key]))

    def _names(self, of: Any) -> list[str]:
        """Return the values of a column that name something of the plugins: ``acme.loyalty.award``, but not ``acme.loyalty.eu.award``."""
        names = self._connection.execute(select(of).distinct()).scalars()
        return [name for name in names if name.rpartition(".")[0] in self._plugins]

    @property
    def _fields(self) -> Any:
        return self._crm.tables.entities[CustomField]

    @property
    def _custom(self) -> list[str]:
        fields = self._fields
        rows = self._connection.execute(select(fields.c.id).where(fields.c.entity.in_(self._names(fields.c.entity))))
        return list(rows.scalars())

    def _add(self, into: Counter[tuple[str, str]], place: str, of: Any, where: Any) -> None:
        tenant = of.c.tenant if "tenant" in of.c else literal("")
        rows = (
            select(tenant, func.count()).select_from(of).group_by(tenant)
            if "tenant" in of.c
            else select(tenant, func.count()).select_from(of)
        )
        for name, count in self._connection.execute(rows if where is None else rows.where(where)):
            if count:
                into[name, place] += count

    def _of(self, name: str, schema: str | None, *more: str) -> TableClause:
        has_tenant = any(c["name"] == "tenant" for c in self._found.get_columns(name, schema))
        return table(name, *([column("tenant")] if has_tenant else []), *map(column, more), schema=schema)

    def _made(self, step: Step) -> tuple[str, str | None, str]:
        return self._crm.migrations.made(step)

    def _is_there(self, step: Step) -> bool:
        name, schema, added = self._made(step)
        there = self._found.has_table(name, schema)
        return there and (not added or any(c["name"] == added for c in self._found.get_columns(name, schema)))
