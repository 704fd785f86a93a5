"""The verbs: install, upgrade, disable, enable, uninstall."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ..arguments import check, check_line, check_text
from ..errors import Conflict, Invalid, SchemaBehind
from ..events.parking import wake
from ..messages import closest
from ..storage.writer import JournalRow, Origin
from ..versions import Version
from .footprint import Counted, Footprint, total
from .parts import brought, ending, staying
from .state import Disabling, PluginPlan, PluginStatus, Removal
from .store import Kept, Store

if TYPE_CHECKING:
    from ..crm import CRM

ACTOR = "system:plugins"
_OFF = frozenset({"disabled", "stopped"})


class Plugins:
    """The plugins in the database of one CRM, those too whose code is not here."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._store = Store(crm)
        self._dropped: set[str] = set()
        self._seen: set[str] = set()
        self._gone: frozenset[str] = frozenset()

    # -- asking -------------------------------------------------------------------------------------------------------------------

    def list(self) -> Sequence[PluginStatus]:
        """Return the plugins by name, as they are in the database."""
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            return [kept.status for kept in self._known(connection).values()]

    def plan(self, name: str) -> PluginPlan:
        """Say what :meth:`install` or :meth:`upgrade` would do, and do nothing.

        Raises:
            LoadError: ``plugin_unknown``: its code is not here.
            Conflict: ``plugin_older``: a newer version was installed.
        """
        plugin = self._loaded(name)
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            current = self._crm.migrations.current(connection)
            kept = self._known(connection).get(name)
        _refuse_older(kept, plugin.version)
        new = kept is None or kept.told != plugin.version or kept.status.state == "uninstalled"
        waiting = [job.name for job in plugin.definitions.jobs if job.once and new]
        installed = kept.status.version if kept is not None and name in current else None
        return PluginPlan(name, plugin.version, installed, self._crm.migrations.plan(), brought(plugin), waiting)

    def disabling(self, name: str, *, end_checks: bool = False) -> Disabling:
        """Say what of a plugin would end by :meth:`disable` and which of its restrictions would stay, and do nothing.

        Raises:
            LoadError: ``plugin_unknown``: its code is not here.
        """
        plugin = self._loaded(name)
        return Disabling(name, ending(plugin, end_checks=end_checks), staying(plugin, end_checks=end_checks))

    def removal(self, name: str) -> Removal:
        """Say what a plugin has in the database.

        Raises:
            Invalid: ``plugin_absent``: the database knows none of that name.
        """
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            known = self._store.all(connection)
            return self._removal(connection, self._get(known, name), known)[0]

    # -- coming -------------------------------------------------------------------------------------------------------------------

    def install(self, name: str, *, reason: str | None = None) -> bool:
        """Bring a loaded plugin into the database, with what the others need; say whether there was anything to do.

        One that was uninstalled with its data kept finds it again. What was interrupted is gone on with by a second call.

        Raises:
            LoadError: ``plugin_unknown``: its code is not here.
            Conflict: ``plugin_older``: a newer version was installed; ``plugin_needs_enabled``: what it requires is off.
            SchemaBehind, Conflict, Unavailable: as ``crm.migrate()``.
        """
        plugin = self._loaded(name)
        with self._crm.migrations.alone() as connection:
            before = self._known(connection).get(name)
            _refuse_older(before, plugin.version)
            self._dropped.discard(name)
            behind = bool(self._crm.migrations.pending(connection))
            self._crm.migrations.upgrade(connection)
            kept = self._get(self._store.all(connection), name)
            off, new = kept.status.state == "uninstalled", kept.told != plugin.version
            if off:
                self._refuse_without(connection, name, self._store.all(connection))
                self._store.put(connection, [name, *self._companions(name)], "enabled", reason, ACTOR)
                self._wake(connection)
            if off or new:
                self._store.tell(connection, name, plugin.version)
                kind = "core.plugin_installed.v1" if kept.told is None else "core.plugin_upgraded.v1"
                self._note(connection, kind, {"plugin": name, "version": plugin.version, "before": kept.told}, reason)
        done = self._crm.jobs.migrate()
        self._look()
        return behind or off or new or bool(done)

    def upgrade(self, name: str, *, reason: str | None = None) -> bool:
        """Bring a plugin that is there to the version that is loaded, as :meth:`install` does.

        Raises:
            Invalid: ``plugin_absent``: it was not installed.
        """
        self._loaded(name)
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            self._get(self._known(connection), name)
        return self.install(name, reason=reason)

    # -- resting ------------------------------------------------------------------------------------------------------------------

    def disable(self, name: str, *, reason: str | None = None, with_dependents: bool = False, end_checks: bool = False) -> Sequence[str]:
        """Switch a plugin off in all tenants and processes, until somebody enables it; return the plugins that this switched off.

        What it restricts stays so: the rules of its roles, and its vetoes on others' records, the only code of it that runs on.

        Args:
            with_dependents: also those that require it.
            end_checks: those vetoes end as well. A later call without it brings them back.

        Raises:
            Invalid: ``plugin_absent``; *reason* is no printable text of at most 255 characters.
            Conflict: ``plugin_needed``: another one that is enabled requires it.
        """
        check(end_checks, bool, "True or False")
        return self._switch(name, "stopped" if end_checks else "disabled", reason, with_dependents)

    def enable(self, name: str, *, reason: str | None = None, with_dependents: bool = False) -> Sequence[str]:
        """Switch a disabled plugin on again; its subscribers go on with the first event that waits. Return the plugins switched on.

        Args:
            with_dependents: also those that require it.

        Raises:
            Invalid: ``plugin_absent``; *reason* is no printable text of at most 255 characters.
            Conflict: ``plugin_needs_enabled``: what it requires is off; ``plugin_uninstalled``: install it.
        """
        return self._switch(name, "enabled", reason, with_dependents)

    # -- going --------------------------------------------------------------------------------------------------------------------

    def uninstall(self, name: str, *, keep_data: bool, reason: str | None = None, at_work: bool = False) -> Removal:
        """Take a plugin out of the database, whether its code is here or not, in one transaction; return what it had.

        Args:
            keep_data: its tables and columns stay, marked, and :meth:`install` finds them; else they are deleted for good, with all
                that the core keeps about it but the journal. Another process that has its code stops working on this database:
                within ten seconds its sessions raise ``SchemaBehind`` (``plugin_dropped``), and until then what asks for what is gone.
            at_work: delete its data though a process runs a job or an external subscriber of it now, which then fails.

        Raises:
            Invalid: ``plugin_absent``; *reason* is no printable text of at most 255 characters.
            Conflict: ``plugin_needed``: another plugin requires it; ``plugin_referenced``: rows of others point at its own;
                ``plugin_at_work``: its data would be deleted under a process that works with it.
        """
        check(keep_data, bool, "True or False")
        check(at_work, bool, "True or False")
        check_line(reason=reason)
        with self._crm.migrations.alone() as connection:
            known = self._store.all(connection)
            kept = self._get(known, name)
            _refuse_needed(name, self._dependents(name, known, {"enabled", *_OFF}))
            removal, counted, footprint = self._removal(connection, kept, known)
            going = [*removal.companions, name]
            if keep_data:
                self._store.put(connection, going, "uninstalled", reason, ACTOR)
            else:
                if removal.at_work and not at_work:
                    raise Conflict("plugin_at_work", plugin=name, by=_told(removal.at_work))
                pointing = footprint.pointing()
                if pointing:
                    raise Conflict("plugin_referenced", plugin=name, by=[f"{place} ({rows})" for place, rows in sorted(pointing.items())])
                footprint.clear()
                for each in going:
                    self._crm.migrations.remove(connection, each, known[each].steps)
                self._store.forget(connection, going)
                self._dropped |= {each for each in going if known[each].status.loaded}
            for each in going:
                self._store.tell(connection, each, None)
            told = {"plugin": name, "version": kept.status.version, "kept": keep_data}
            self._note(connection, "core.plugin_uninstalled.v1", told, reason, counted)
        self._look()
        return removal

    # -- for sessions and migrations ----------------------------------------------------------------------------------------------

    def register(self, connection: Connection) -> None:
        """Note what the loaded plugins have made; migrations call it."""
        self._store.register(connection)

    def learn(self, connection: Connection) -> None:
        """Take over which plugins are off; with one, those that cannot be without it."""
        states = self._store.states(connection)
        self._seen |= states.keys()
        self._gone = frozenset(p.name for p in self._crm.registry.plugins if p.name in self._seen - states.keys() - self._dropped)
        lost = self._dropped | self._gone
        off = lost | {name for name, state in states.items() if state != "enabled"}
        unguarded = lost | {name for name, state in states.items() if state in ("stopped", "uninstalled")}
        for plugin in self._crm.registry.plugins:  # in load order: what is required comes first
            off |= {plugin.name} if off & plugin.requires.keys() else set()
            unguarded |= {plugin.name} if unguarded & plugin.requires.keys() else set()
        self._crm.registry.health.disable(frozenset(off), frozenset(unguarded))

    @property
    def any_gone(self) -> bool:
        """Whether another process deleted a plugin and its data while this one runs with it: it would ask for what is not there."""
        return bool(self._gone)

    def refuse_gone(self) -> None:
        """Refuse to work where that was done.

        Raises:
            SchemaBehind: ``plugin_dropped``.
        """
        if self._gone:
            raise SchemaBehind("plugin_dropped", plugins=sorted(self._gone))

    def kept(self, connection: Connection) -> Sequence[str]:
        """Name the uninstalled plugins whose data was kept, and whose code is not here: no backup holds it."""
        known = self._known(connection)
        return [name for name, kept in known.items() if kept.status.state == "uninstalled" and not kept.status.loaded]

    # -- inside -------------------------------------------------------------------------------------------------------------------

    def _switch(self, name: str, state: Any, reason: str | None, with_dependents: bool) -> Sequence[str]:
        check_line(reason=reason)
        check(with_dependents, bool, "True or False")
        enabling = state == "enabled"
        with self._crm.migrations.alone() as connection:
            known = self._store.all(connection)
            found = self._get(known, name).status.state
            if found == "uninstalled":
                raise Conflict("plugin_uninstalled", plugin=name)
            others = self._dependents(name, known, _OFF if enabling else {"enabled"})
            if not enabling and not with_dependents:
                _refuse_needed(name, others)
            changed = [each for each in (name, *(others if with_dependents else ())) if known[each].status.state != state]
            self._store.put(connection, changed, state, reason, ACTOR)
            if enabling:
                self._refuse_without(connection, name, self._store.all(connection))
                self._wake(connection)
            kind = "core.plugin_enabled.v1" if enabling else "core.plugin_disabled.v1"
            for each in changed:
                told = {"plugin": each, "version": known[each].status.version}
                self._note(connection, kind, told if enabling else {**told, "checks_end": state == "stopped"}, reason)
        self._look()
        return changed

    def _removal(self, connection: Connection, kept: Kept, known: Mapping[str, Kept]) -> tuple[Removal, Counted, Footprint]:
        name = kept.status.name
        companions = [each for each in known if known[each].companion and name in known[each].requires]
        steps = [*kept.steps, *chain.from_iterable(known[each].steps for each in companions)]
        footprint = Footprint(self._crm, connection, {name, *companions}, steps)
        counted = footprint.count()
        sums = total(counted.tables), total(counted.columns), total(counted.others)
        return Removal(name, kept.status.version, companions, *sums, footprint.at_work()), counted, footprint

    def _dependents(self, name: str, known: Mapping[str, Kept], states: Collection[str]) -> Sequence[str]:
        """Return the plugins that require one, directly or not, and are in one of some states; companions are not asked."""
        found = {name}
        while more := {n for n, kept in known.items() if n not in found and not kept.companion and found & kept.requires}:
            found |= more
        return sorted(n for n in found - {name} if known[n].status.state in states)

    def _refuse_without(self, connection: Connection, name: str, known: Mapping[str, Kept]) -> None:
        needs = sorted(n for n in known[name].requires & known.keys() if known[n].status.state != "enabled")
        if needs:
            raise Conflict("plugin_needs_enabled", plugin=name, needs=needs)

    def _companions(self, name: str) -> Iterable[str]:
        registry = self._crm.registry
        return (p.name for p in registry.plugins if p.name in registry.companions and name in p.requires)

    def _loaded(self, name: str) -> Any:
        check_text(name)
        if name == "core":
            raise Invalid("plugin_core")
        return self._crm.registry.plugin(name)

    def _known(self, connection: Connection) -> Mapping[str, Kept]:
        """Return what the database knows of plugins; nothing where it has no tables yet, or those of an older core."""
        return self._store.all(connection) if self._crm.migrations.has(connection, self._crm.tables.system.plugin) else {}

    def _get(self, known: Mapping[str, Kept], name: str) -> Kept:
        check_text(name)
        if name == "core":
            raise Invalid("plugin_core")
        if name not in known:
            raise Invalid("plugin_absent", given=name[:63], suggestion=closest(name, known))
        return known[name]

    def _wake(self, connection: Connection) -> None:
        wake(connection, self._crm.tables, [s.name for s in self._crm.subscribers], self._crm.runtime.clock.now())

    def _look(self) -> None:
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            self.learn(connection)
        self._crm.lifespans.settle()

    def _note(self, connection: Connection, kind: str, told: Mapping[str, Any], reason: str | None, rows: Counted | None = None) -> None:
        """Journal in every tenant what was done, and of its own rows alone how many it was done to."""
        runtime = self._crm.runtime
        for tenant in self._crm.tenants.names(connection):
            event = runtime.ids.new()
            payload = {"id": event, **told, **({} if rows is None else {"rows": rows.of(tenant)})}
            origin = Origin(tenant, runtime.clock.now(), ACTOR, None, "", reason, None, ())
            entry = JournalRow("core", event, 0, kind, payload)
            self._crm.writer(connection).journal(connection, origin, [entry])


def _told(leases: Mapping[str, datetime]) -> Sequence[str]:
    return [f"{name} ({until.isoformat(timespec='seconds')})" for name, until in leases.items()]


def _refuse_needed(name: str, by: Sequence[str]) -> None:
    if by:
        raise Conflict("plugin_needed", plugin=name, by=builtins.list(by))


def _refuse_older(kept: Kept | None, version: str) -> None:
    if kept is not None and Version.parse(version) < Version.parse(kept.status.version):
        raise Conflict("plugin_older", plugin=kept.status.name, version=version, installed=kept.status.version)
