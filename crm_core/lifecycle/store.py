"""What the database keeps of plugins: version, state, what each requires, and the steps that made its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, delete, insert, select, update

from ..storage.revisions.steps import Step, from_plain, to_plain
from ..versions import Version
from .state import PluginStatus, State

if TYPE_CHECKING:
    from ..crm import CRM

MIGRATION = "system:core"
_SAID = ("version", "state", "since", "reason", "actor")


@attrs.frozen
class Kept:
    """A plugin as the database knows it.

    Attributes:
        status: what is told of it.
        requires: the plugins it needs, the core left out.
        companion: it joins two others, and goes with either.
        steps: what made its tables and columns, all that it ever had.
        told: the version of which the journal says that it was installed.
    """

    status: PluginStatus
    requires: frozenset[str]
    companion: bool
    steps: Sequence[Step]
    told: str | None


class Store:
    """The table ``plugin``; every call works in the caller's transaction."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._table = crm.tables.system.plugin

    def all(self, connection: Connection) -> dict[str, Kept]:
        """Return every plugin by name."""
        rows = connection.execute(select(self._table).order_by(self._table.c.plugin))
        return {row.plugin: self._kept(row) for row in rows}

    def states(self, connection: Connection) -> dict[str, State]:
        """Return the state of every plugin by name."""
        return {row.plugin: row.state for row in connection.execute(select(self._table.c.plugin, self._table.c.state))}

    def register(self, connection: Connection) -> None:
        """Note what loaded plugins made, where a migration did more since; an older version of one leaves what a newer noted."""
        table, registry = self._table, self._crm.registry
        known = {row.plugin: row for row in connection.execute(select(table))}
        current = self._crm.migrations.current(connection)
        for plugin in registry.plugins:
            row, revision = known.get(plugin.name), current.get(plugin.name, "")
            if plugin.name == "core" or (row is not None and _is_known(row, plugin.version, revision)):
                continue
            steps = [to_plain(step) for step in self._crm.migrations.steps(plugin.name)]
            values = {
                "version": plugin.version, "requires": sorted(set(plugin.requires) - {"core"}), "revision": revision,
                "companion": plugin.name in registry.companions, "steps": _merged(row.steps if row else [], steps),
            }  # fmt: skip
            if row is None:
                new = {"state": "enabled", "since": self._crm.runtime.clock.now(), "reason": None, "actor": MIGRATION, "told": None}
                connection.execute(insert(table).values(plugin=plugin.name, **values, **new))
            else:
                connection.execute(update(table).where(table.c.plugin == plugin.name).values(**values))

    def put(self, connection: Connection, names: Iterable[str], state: State, reason: str | None, actor: str) -> None:
        """Change the state of plugins."""
        values = {"state": state, "since": self._crm.runtime.clock.now(), "reason": reason, "actor": actor}
        connection.execute(update(self._table).where(self._table.c.plugin.in_(sorted(names))).values(**values))

    def tell(self, connection: Connection, name: str, version: str | None) -> None:
        """Note which version the journal says is installed; None: it says that none is."""
        connection.execute(update(self._table).where(self._table.c.plugin == name).values(told=version))

    def forget(self, connection: Connection, names: Iterable[str]) -> None:
        """Delete what is kept of plugins."""
        connection.execute(delete(self._table).where(self._table.c.plugin.in_(sorted(names))))

    def _kept(self, row: Any) -> Kept:
        loaded = any(p.name == row.plugin for p in self._crm.registry.plugins)
        status = PluginStatus(row.plugin, loaded=loaded, **{name: getattr(row, name) for name in _SAID})
        return Kept(status, frozenset(row.requires), row.companion, [from_plain(step) for step in row.steps], row.told)


def _is_known(row: Any, version: str, revision: str) -> bool:
    older = Version.parse(version) < Version.parse(row.version)
    return older or (row.version, row.revision) == (version, revision)


def _merged(before: Iterable[Mapping[str, Any]], now: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Join steps; what an earlier version made and a later one does not name is there still."""
    return list(({_key(step): step for step in before} | {_key(step): step for step in now}).values())


def _key(step: Mapping[str, Any]) -> tuple[Any, ...]:
    return step["step"], step["table"], step["column"]["name"] if "column" in step else step.get("name")
