"""Tenants, as ``crm.tenants``: made, suspended, resumed, dropped, and which modules each has.

A tenant need not be declared: it exists with its first row, and ``main`` always. Who declares one can suspend it, or switch modules off
in it; ``CRM(tenants="declared")`` refuses all others. Other processes follow within ten seconds.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import attrs
from sqlalchemy import Connection, delete, func, insert, select, update

from .arguments import check_line, check_text
from .errors import Conflict, Denied, Invalid, NotFound, TenantSuspended, Unavailable
from .events.parking import wake
from .events.sequencer import sequence
from .messages import closest
from .permissions.actor import Actor
from .permissions.off import NOTHING_OFF, Off

if TYPE_CHECKING:
    from .crm import CRM

Declaring = Literal["open", "declared"]
Changes = Mapping[type[Any], Mapping[str, Any]]
MAIN = "main"
DROPPED = "dropped"
OPERATOR = "tenants"
"""``Actor.system("tenants", tenant=...)`` alone works in a tenant that is suspended, and sees the modules that are off."""


@attrs.frozen
class Tenant:
    """A tenant.

    Attributes:
        name: what ``Actor.tenant`` says.
        label: what people call it.
        state: ``active`` or ``suspended``.
        modules: the plugins that are on in it; None: all that are loaded.
        created_at: when it was declared; None where it was not.
    """

    name: str
    label: str = ""
    state: str = "active"
    modules: tuple[str, ...] | None = None
    created_at: datetime | None = None


class Tenants:
    """The tenants of one CRM."""

    def __init__(self, crm: CRM, declaring: Declaring) -> None:
        self._crm = crm
        self._table = crm.tables.system.tenant
        self._declaring = declaring
        self._declared: set[str] = set()
        self._since: dict[str, datetime] = {}
        plugins = [p for p in crm.registry.plugins if p.name != "core"]
        self._requires = {p.name: set(p.requires) - {"core"} for p in plugins}

    # -- for operators ------------------------------------------------------------------------------------------------------------

    def create(self, name: str, *, label: str = "", modules: Sequence[str] | None = None, settings: Changes | None = None) -> Tenant:
        """Declare a tenant, whether it has rows already or not.

        Args:
            label: what people call it.
            modules: the plugins that are on in it; None: all.
            settings: by settings class, what it changes at once.

        Raises:
            Conflict: ``tenant_exists``: it is declared.
            Invalid: a name, the label, a module or a setting is wrong.
        """
        check_text(name, label)
        check_line(label=label)
        on = self._checked(modules)
        actor = Actor.system(OPERATOR, tenant=name)
        now = self._crm.runtime.clock.now()
        with self._crm.bound.begin() as connection:
            mine = self._table.c.tenant == name
            connection.execute(delete(self._table).where(mine, self._table.c.state == DROPPED))
            if connection.scalar(select(self._table.c.tenant).where(mine)) is not None:
                raise Conflict("tenant_exists", tenant=name)
            values = {"label": label, "state": "active", "modules": on, "created_at": now, "at": now, "actor": actor.id}
            connection.execute(insert(self._table).values(tenant=name, **values))
            with self._crm.session(actor, on=connection) as session:
                session.note("core.tenant_created.v1", {"label": label, "modules": on})
                for cls, changes in (settings or {}).items():
                    session.change_settings(cls, changes)
        self._look()
        return self.get(name)

    def get(self, name: str) -> Tenant:
        """Return a tenant.

        Raises:
            NotFound: ``tenant_undeclared``: nobody declared it, and it has no rows.
        """
        check_text(name)
        found = next((t for t in self.list() if t.name == name), None)
        if found is None:
            raise NotFound("tenant_undeclared", tenant=name[:63])
        return found

    def list(self) -> Sequence[Tenant]:
        """Return all tenants by name: ``main``, those that are declared, and those that have rows."""
        with self._crm.bound.begin(write=False) as connection:
            living = select(self._table).where(self._table.c.state != DROPPED)
            declared = {row.tenant: _tenant(row) for row in connection.execute(living)}
            return [declared.get(name) or Tenant(name) for name in self._names(connection)]

    def suspend(self, name: str, *, reason: str | None = None) -> None:
        """Refuse the sessions of a tenant; its subscribers and jobs rest. One that is not declared is declared by it.

        Raises:
            NotFound: ``tenant_undeclared``, where tenants must be declared; so also :meth:`resume` and :meth:`switch`.
            Invalid: *reason* is no printable text of at most 255 characters.
        """
        self._require(name)
        self._change(name, "core.tenant_suspended.v1", reason, state="suspended")

    def resume(self, name: str, *, reason: str | None = None) -> None:
        """Let a tenant work again: its subscribers go on with the first event that waits, its jobs with their next occurrence missed."""
        self._require(name)
        self._change(name, "core.tenant_resumed.v1", reason, state="active")

    def switch(self, name: str, modules: Sequence[str] | None) -> None:
        """Say which plugins are on in a tenant; None: all. What a plugin that is off keeps stays in the database, and comes back with it.

        Raises:
            Invalid: ``plugin_unknown``; or one requires another that is left out (``module_needs``).
        """
        self._require(name)
        self._change(name, "core.modules_switched.v1", None, modules=self._checked(modules))

    def enable(self, name: str, *modules: str) -> None:
        """Switch plugins on in a tenant, beside those that are; it fails as :meth:`switch` does."""
        on = self._on(name, modules)
        if not on.issuperset(modules):
            self.switch(name, sorted(on.union(modules)))

    def disable(self, name: str, *modules: str) -> None:
        """Switch plugins off in a tenant; the others stay. It fails as :meth:`switch` does."""
        self.switch(name, sorted(self._on(name, modules).difference(modules)))

    def drop(self, name: str) -> Mapping[str, int]:
        """Delete all rows of a tenant, its journal included, in one transaction, and return how many of each table.

        Rows of adopted tables are the host's and stay: what the CRM keeps in its own columns of them is emptied, and a session of that
        tenant sees them again as rows that the journal does not know. Delete them first where they are to go, too.
        One row of its journal stays and says so (``core.tenant_dropped.v1``). Nobody may work in the tenant meanwhile.

        Raises:
            NotFound: ``tenant_unknown``: it has no rows.
            Invalid: ``bad_actor``: no tenant can have this name.
            Unavailable: the database cannot serve.
        """
        check_text(name)
        Actor.system(OPERATOR, tenant=name)  # says what is wrong with a name that none can have
        with self._crm.bound.synchronous().begin(unlimited=True) as connection:
            self._crm.migrations.check(connection)
            gone = dropped(self._crm, connection, name)
            if not gone:
                raise NotFound("tenant_unknown", tenant=name[:63])
            now = self._crm.runtime.clock.now()
            grave = {"label": "", "state": DROPPED, "created_at": now, "at": now, "actor": _ACTOR}
            connection.execute(insert(self._table).values(tenant=name, **grave))
        self._declared.discard(name)
        self._look()
        return gone

    # -- for sessions and workers -------------------------------------------------------------------------------------------------

    def learn(self, connection: Connection) -> None:
        """Take over which tenants are suspended, and what is off where."""
        table = self._table
        special = select(table.c.tenant, table.c.state, table.c.modules).where((table.c.state != "active") | table.c.modules.is_not(None))
        rows = connection.execute(special).all()
        closed: dict[str, frozenset[str]] = {}
        for row in rows:
            for plugin in self._off(row.modules):
                closed[plugin] = closed.get(plugin, frozenset()) | {row.tenant}
        self._crm.registry.health.close(frozenset(row.tenant for row in rows if row.state == "suspended"), MappingProxyType(closed))

    def admit(self, connection: Connection, actor: Actor) -> None:
        """Let an actor's session in.

        Raises:
            TenantSuspended: the tenant is.
            NotFound: ``tenant_undeclared``, where tenants must be declared.
        """
        if actor.id in _OPERATORS:
            return
        if actor.tenant in self._crm.registry.health.suspended:
            raise TenantSuspended(tenant=actor.tenant)
        if self._declaring == "declared" and actor.tenant != MAIN and actor.tenant not in self._declared:
            found = select(self._table.c.tenant).where(self._table.c.tenant == actor.tenant, self._table.c.state != DROPPED)
            if connection.scalar(found) is None:
                raise NotFound("tenant_undeclared", tenant=actor.tenant)
            self._declared.add(actor.tenant)

    def check(self, name: str, *, plugin: str) -> None:
        """Check that a plugin works in a tenant.

        Raises:
            TenantSuspended: the tenant is.
            Denied: ``module_off``.
            Unavailable: ``plugin_disabled``; ``plugin_resting``: the plugin is in quarantine.
        """
        self._look()
        health = self._crm.registry.health
        if name in health.suspended:
            raise TenantSuspended(tenant=name)
        if plugin in health.disabled:
            raise Unavailable("plugin_disabled", plugin=plugin)
        if name in health.closed.get(plugin, ()):
            raise Denied("module_off", plugin=plugin, tenant=name)
        if health.rests(plugin, name):
            raise Unavailable("plugin_resting", plugin=plugin, tenant=name)

    def without(self, actor: Actor) -> Off:
        """Return the plugins that do not work for an actor, since they are off in its tenant, or disabled."""
        health = self._crm.registry.health
        if not (health.closed or health.disabled) or actor.id in _UNBOUND:
            return NOTHING_OFF
        return Off(frozenset(plugin for plugin, tenants in health.closed.items() if actor.tenant in tenants), health.disabled)

    def check_on(self, actor: Actor, plugin: str) -> None:
        """Check that a plugin is on for an actor.

        Raises:
            Denied: ``module_off``.
            Unavailable: ``plugin_disabled``.
        """
        off = self.without(actor)
        if plugin in off.disabled:
            raise Unavailable("plugin_disabled", plugin=plugin)
        if plugin in off.gone:
            raise Denied("module_off", plugin=plugin, tenant=actor.tenant)

    def names(self, connection: Connection) -> Sequence[str]:
        """Return every tenant's name."""
        self._since = {row.tenant: row.created_at for row in connection.execute(select(self._table.c.tenant, self._table.c.created_at))}
        return self._names(connection)

    def every(self, connection: Connection) -> Sequence[str]:
        """Return every tenant's name, those too of whom nothing is sealed yet; it reads the journal through."""
        journal = self._crm.tables.system.journal
        graves = select(self._table.c.tenant).where(self._table.c.state == DROPPED)
        rows = connection.execute(select(journal.c.tenant).where(journal.c.tenant.not_in(graves)).distinct()).scalars()
        return sorted({*rows, *self.names(connection)})

    def since(self, name: str, default: datetime) -> datetime:
        """Return when a tenant was declared."""
        return self._since.get(name, default)

    def zones(self, connection: Connection) -> Mapping[str, str]:
        """Return the time zones of tenants that chose one."""
        table = self._crm.tables.system.setting
        rows = connection.execute(select(table.c.tenant, table.c.data).where(table.c.plugin == "core"))
        return {row.tenant: row.data["timezone"] for row in rows if "timezone" in row.data}

    # -- inside -------------------------------------------------------------------------------------------------------------------

    def _change(self, name: str, kind: str, reason: str | None, **values: Any) -> None:
        check_text(name)
        actor, now, table = Actor.system(OPERATOR, tenant=name), self._crm.runtime.clock.now(), self._table
        with self._crm.bound.begin() as connection:
            stamped = {**values, "at": now, "actor": actor.id}
            connection.execute(delete(table).where(table.c.tenant == name, table.c.state == DROPPED))
            if not connection.execute(update(table).where(table.c.tenant == name).values(**stamped)).rowcount:
                new = {"label": "", "state": "active", "modules": None, "created_at": now}
                connection.execute(insert(table).values(tenant=name, **(new | stamped)))
            with self._crm.session(actor, on=connection, reason=reason) as session:
                session.note(kind, values)
            wake(connection, self._crm.tables, [*(s.name for s in self._crm.subscribers), self._crm.automation.idle.name], now)
        self._look()

    def _require(self, name: str) -> None:
        """Where tenants must be declared, refuse one that nobody declared: it may be mistyped, and another is meant."""
        check_text(name)
        if self._declaring == "declared" and name not in (known := [tenant.name for tenant in self.list()]):
            raise NotFound("tenant_undeclared", tenant=name[:63], suggestion=closest(name, known))

    def _look(self) -> None:
        with self._crm.bound.begin(write=False) as connection:
            self.learn(connection)
            self._crm.plugins.learn(connection)

    def _names(self, connection: Connection) -> Sequence[str]:
        rows = connection.execute(select(self._table.c.tenant, self._table.c.state)).all()
        graves = {row.tenant for row in rows if row.state == DROPPED}
        living = {row.tenant for row in rows} | set(self._with_rows(connection))
        return sorted({MAIN, *(living - graves), *self._begun_anew(connection, graves)})

    def _with_rows(self, connection: Connection) -> Iterator[str]:
        """Walk the tenants along the seals' key, not along all seals."""
        seal = self._crm.tables.system.seal
        walk = select(func.min(seal.c.tenant).label("tenant")).cte("walk", recursive=True)
        following = select(func.min(seal.c.tenant)).where(seal.c.tenant > walk.c.tenant).scalar_subquery()
        walk = walk.union_all(select(following).select_from(walk).where(walk.c.tenant.is_not(None)))
        yield from connection.execute(select(walk.c.tenant).where(walk.c.tenant.is_not(None))).scalars()

    def _begun_anew(self, connection: Connection, graves: Collection[str]) -> Iterator[str]:
        """Yield the dropped tenants that have more than the one row that says so."""
        seal = self._crm.tables.system.seal
        if graves:
            more = select(seal.c.tenant).where(seal.c.tenant.in_(graves)).group_by(seal.c.tenant).having(func.count() > 1)
            yield from connection.execute(more).scalars()

    def _checked(self, modules: Collection[str] | None) -> builtins.list[str] | None:
        if modules is None:
            return None
        for name in modules:
            if name not in self._requires:
                raise Invalid("plugin_unknown", given=str(name)[:63], suggestion=closest(str(name), self._requires))
            missing = sorted(self._requires[name] - set(modules) - self._crm.registry.companions)
            if missing:
                raise Invalid("module_needs", plugin=name, needs=missing)
        return sorted(set(modules))

    def _on(self, name: str, modules: Sequence[str]) -> set[str]:
        """Return what is on in a tenant; none of *modules* is a mistyped name."""
        self._require(name)
        every = set(self._requires) - self._crm.registry.companions
        self._checked(every.union(modules))
        found = next((tenant.modules for tenant in self.list() if tenant.name == name), None)
        return every if found is None else set(found)

    def _off(self, modules: Collection[str] | None) -> set[str]:
        """Return the plugins that are off; a companion is on where all that it requires are."""
        if modules is None:
            return set()
        companions = self._crm.registry.companions
        off = set(self._requires) - set(modules) - companions
        return off | {c for c in companions if self._requires[c] & off}


_ACTOR = f"system:{OPERATOR}"
_OPERATORS = frozenset({_ACTOR, "system:drop"})
_UNBOUND = _OPERATORS | {"system:core"}


def dropped(crm: CRM, connection: Connection, tenant: str) -> Mapping[str, int]:
    """Delete a tenant's rows in a transaction that is open."""
    from .storage.backup.layout import Layout
    from .storage.backup.loading import clear, rows_of

    layout, journal = Layout.of(crm.tables), crm.tables.system.journal
    found = rows_of(connection, layout, tenant)
    if not found:
        return {}
    with crm.session(Actor.system("drop", tenant=tenant), on=connection) as session:
        session.note("core.tenant_dropped.v1", {"rows": found})
    # The note keeps the journal's highest position: one that went would be given again, and subscribers are past it.
    while sequence(connection, crm.tables):
        pass
    own = connection.scalar(select(func.max(journal.c.id)).where(journal.c.tenant == tenant))
    clear(connection, layout, tenant, upto=own - 1)
    return found


def _tenant(row: Any) -> Tenant:
    return Tenant(row.tenant, row.label, row.state, None if row.modules is None else tuple(row.modules), row.created_at)
