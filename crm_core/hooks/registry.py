"""Registry: the plugins of one CRM, checked and in order, and everything they contribute."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from ..errors import Invalid, LoadError
from ..events.event import event_name
from ..logs import facts
from ..messages import Messages, closest
from ..ondemand import OnDemand, OnFirstUse
from ..runtime import Clock, SystemClock
from . import checks
from .companions import imported, resolve, with_companions
from .core_specs import CORE
from .definitions import Definitions
from .dispatch import Plan
from .health import QUARANTINE_AFTER, Health
from .parts import Contribution, Impl, Job, Lifespan, Link, Panel, Route, Subscription
from .plugin import Plugin
from .retention import Retention
from .spec import Hook

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pluggy import PluginManager

    from ..entities.entity import Entity, Extension
    from ..messages import Catalogue
    from ..permissions.roles import Role
    from .actions import ActionDef
    from .measures import Dimension, Measure, Metric, Rollup, Source
    from .meter import Meter
    from .screens import Assets, Form, ListView

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Registry:
    """The plugins of one CRM, their companions, and all they contribute, in load order: the core first, then each after those it requires.

    Attributes:
        plugins: the plugins.
        companions: the names of those that join two others.
        entities: every entity, the core's first.
        links: relations between entities of different modules.
        events: event class by name.
        hooks: hook by name.
        subscriptions: handlers of events.
        actions: action by the class of its command.
        figures: measures, sources and metrics by name.
        jobs, dimensions, rollups, retentions, services, roles, catalogues, ports, lifespans, routes, screens, assets: what their names say.
        settings: by settings class: what a tenant that sets nothing gets.
        health: which of them keep failing.
        meter: measures them, while somebody wants to know; see :mod:`crm_core.hooks.meter`.

    Raises:
        LoadError: something does not fit; the error names the plugin and says what to do.
    """

    def __init__(self, plugins: Iterable[Plugin], *, clock: Clock | None = None, quarantine_after: int | None = QUARANTINE_AFTER) -> None:
        self.plugins = checks.load_order(CORE, with_companions(plugins))
        self._by_name = {p.name: p for p in self.plugins}
        targets = {t: beside for p in self.plugins for t, beside in p.definitions.companions}
        beside = {resolve(target) for target, other in targets.items() if other in self._by_name}
        self.companions = frozenset(p.name for p in self.plugins if p in beside)
        self.entities: tuple[type[Entity], ...] = self._all(lambda d: d.entities)
        self.links: tuple[Link, ...] = self._all(lambda d: d.links)
        self.subscriptions: tuple[Subscription, ...] = self._all(lambda d: d.subscriptions)
        self.jobs: tuple[Job, ...] = self._all(lambda d: d.jobs)
        self.dimensions: tuple[Dimension, ...] = self._all(lambda d: d.dimensions)
        self.ports: tuple[type[Any], ...] = self._all(lambda d: d.ports)
        self.lifespans: tuple[Lifespan, ...] = self._all(lambda d: d.lifespans)
        self.routes: tuple[Route, ...] = self._all(lambda d: d.routes)
        self.screens: tuple[Form | ListView, ...] = self._all(lambda d: d.screens)
        self.assets: tuple[Assets, ...] = self._all(lambda d: d.assets)
        self.rollups: tuple[Rollup, ...] = self._all(lambda d: d.rollups)
        self.retentions: tuple[Retention, ...] = self._all(lambda d: d.retentions)
        self.services: tuple[type[Any], ...] = self._all(lambda d: d.services)
        self.roles: tuple[Role, ...] = self._all(lambda d: d.roles)
        self.catalogues: tuple[Catalogue, ...] = self._all(lambda d: d.catalogues)
        having = {p.settings: p for p in self.plugins if p.settings is not None}
        self.settings: Mapping[type[Any], Any] = OnDemand(having, lambda cls: checks.default_settings(having[cls]))
        for plugin in self.plugins[1:]:
            checks.default_settings(plugin)  # refuses what does not fit
        self._owners = self._find_owners()
        self.hooks = self._named("hook", self._all(lambda d: d.hooks), lambda h: h.name)
        self.events = self._named("event", self._all(lambda d: d.events), event_name)
        self.actions = self._actions()
        self.figures = self._figures()
        self._check()
        self._warn()
        if len(self.plugins) > 1:
            self.manager  # noqa: B018  # refuses an order that runs in a circle; that of the core's own does not
        self.meter: Meter | None = None
        self._plans: dict[tuple[Hook[Any, Any], type[Any] | None], Plan] = {}
        self.health = Health(
            {p.name: p.version for p in self.plugins if p is not CORE}, clock or SystemClock(), quarantine_after, self._plans.clear
        )
        for plugin in self.plugins:
            plugin.definitions.loaded = True

    def plan(self, hook: Hook[Any, Any], entity: type[Any] | None = None) -> Plan:
        """Return the compiled implementations of *hook*, those for *entity* where it is a hook by entity.

        Raises:
            LoadError: no loaded plugin declares the hook.
        """
        found = self._plans.get((hook, entity))
        if found is None:
            with self.health.lock:
                found = self._plans[hook, entity] = self._compile(hook, entity)
        return found

    @OnFirstUse
    def manager(self) -> PluginManager:
        """pluggy's own registry of the implementations."""
        from .manager import registered

        impls = self._all(lambda d: d.impls)
        order = {hook: checks.call_order([i for i in impls if i.hook is hook], self._by_name) for hook in self.hooks.values()}
        return registered(self.plugins, order)

    @cached_property
    def permissions(self) -> frozenset[str]:
        """What a role can permit besides actions on records: the plugins' actions and settings, and what the core itself asks for."""
        settings = (f"{self._owners[cls]}.settings" for cls in self.settings)
        return frozenset({"core.roles", "core.privacy", "core.rollups", *(a.permission for a in self.actions.values()), *settings})

    @cached_property
    def messages(self) -> Messages:
        """The words of the core and of the plugins."""
        return Messages(self.catalogues)

    def plugin(self, name: str) -> Plugin:
        """Return a loaded plugin.

        Raises:
            LoadError: it is not loaded.
        """
        if name not in self._by_name:
            raise LoadError("plugin_unknown", given=name, suggestion=closest(name, self._by_name))
        return self._by_name[name]

    def contributions(self) -> Iterator[Contribution]:
        """Yield every function that a plugin gives to the core."""
        yield from self._all(lambda d: d.impls)
        yield from chain.from_iterable(_parts(plugin.definitions) for plugin in self.plugins)

    def extensions(self, entity: type[Entity]) -> tuple[type[Extension], ...]:
        """Return what the loaded plugins add to an entity."""
        return tuple(extension for extended, extension in self._all(lambda d: d.extensions) if extended is entity)

    def panels(self, entity: type[Entity]) -> tuple[Panel, ...]:
        """Return what is shown beside a record of an entity."""
        return tuple(panel for panel in self._all(lambda d: d.panels) if panel.entity is entity)

    def grants(self, plugin: str) -> frozenset[str]:
        """Return what a plugin's jobs, subscribers and elevated code may do beside its own entities."""
        return frozenset(self.plugin(plugin).definitions.grants)

    def owner(self, thing: object) -> str | None:
        """Name the plugin that declares an entity, extension, event, hook, service, role or settings class."""
        try:
            return self._owners.get(thing)
        except TypeError:
            return None

    def service_owner(self, service: type[Any]) -> str:
        """Name the plugin that offers a service.

        Raises:
            Invalid: no loaded plugin does.
        """
        if service not in self.services:
            known = [each.__name__ for each in self.services]
            given = getattr(service, "__name__", type(service).__name__)
            raise Invalid("service_unknown", given=given, suggestion=closest(given, known))
        return self._owners[service]

    def _all(self, pick: Callable[[Definitions], list[T]]) -> tuple[T, ...]:
        return tuple(chain.from_iterable(pick(p.definitions) for p in self.plugins))

    def _find_owners(self) -> Mapping[object, str]:
        owners: dict[object, str] = {}
        for plugin in self.plugins:
            for thing in _things(plugin):
                if owners.setdefault(thing, plugin.name) != plugin.name:
                    raise LoadError("name_taken", kind="part", name=_called(thing), one=owners[thing], two=plugin.name)
        return owners

    def _named(self, kind: str, things: tuple[T, ...], name: Callable[[T], str]) -> Mapping[str, T]:
        checks.unique(kind, [(name(thing), self._owners[thing]) for thing in things])
        return {name(thing): thing for thing in things}

    def _check(self) -> None:
        for plugin in (p for p in self.plugins if p is not CORE):  # of which the same is true each time
            _check_prefixes(plugin)
            for part in _parts(plugin.definitions):
                checks.callable_as(part)
            for job in plugin.definitions.jobs:
                checks.scheduled(job)
            for figure in _figures(plugin.definitions):
                checks.figured(figure, self.extensions)
            for rollup in plugin.definitions.rollups:
                checks.rolled_up(rollup)
            for retention in plugin.definitions.retentions:
                checks.retained(retention, self.extensions)
            for thing in _used(plugin.definitions):
                checks.required(plugin, self.owner(thing), thing.__name__, CORE.name)
            for impl in plugin.definitions.impls:
                checks.implements(impl, self.hooks)
                checks.required(plugin, self.owner(impl.hook), impl.hook.name, CORE.name)
        for entity in self.entities:
            if added := self.extensions(entity):
                checks.columns_free(entity, [(x, self._owners[x]) for x in added])
        for route in self.routes:
            checks.routed(route)
        checks.unique("route", [(f"{r.method} {r.address}", r.plugin) for r in self.routes])
        for screen in self.screens:
            checks.shown(screen, self.extensions)
        checks.unique("role", [(r.name, self._owners[r]) for r in self.roles])
        # One function may listen to several events; they then share the position it is named after.
        listening = {s.fn: s for s in self.subscriptions}.values()
        for kind, parts in (
            ("subscription", listening),
            ("job", self.jobs),
            ("dimension", self.dimensions),
            ("rollup", self.rollups),
            ("retention", self.retentions),
        ):
            checks.unique(kind, [(part.name, part.plugin) for part in parts])

    def _warn(self) -> None:
        """Name the plugins that use a hook or event of another one which goes away."""
        marks = {id(mark.thing): mark for mark in self._all(lambda d: d.deprecations)}
        if marks:
            used = [(i.hook, i.plugin) for i in self._all(lambda d: d.impls)] + [(s.event, s.plugin) for s in self.subscriptions]
            for mark, plugin in ((marks.get(id(thing)), plugin) for thing, plugin in used):
                if mark is not None and mark.plugin != plugin:
                    mark.warn(plugin)

    def _figures(self) -> Mapping[str, Measure | Source | Metric]:
        found = self._all(lambda d: d.figures)
        checks.unique("metric", [(figure.name, figure.plugin) for figure in found])
        return {figure.name: figure for figure in found}

    def _actions(self) -> Mapping[type[Any], ActionDef]:
        actions = self._all(lambda d: d.actions)
        checks.unique("action", [(a.name, a.plugin) for a in actions])
        checks.unique("command", [(f"{a.command.__module__}.{a.command.__qualname__}", a.plugin) for a in actions])
        for action in actions:
            action.check()
        return {a.command: a for a in actions}

    def _compile(self, hook: Hook[Any, Any], entity: type[Any] | None) -> Plan:
        if self.hooks.get(hook.name) is not hook:
            raise LoadError("hook_not_loaded", hook=hook.name, suggestion=closest(hook.name, self.hooks))
        called = (impl for impl in self.implementations(hook) if impl.on is None or impl.on is entity)
        return tuple(chain.from_iterable(self.health.watched(impl, self._function(impl)) for impl in called))

    def implementations(self, hook: Hook[Any, Any]) -> list[Impl]:
        """Return a hook's implementations in the order in which they run, those that rest included."""
        return [each.plugin for each in reversed(getattr(self.manager.hook, hook.name).get_hookimpls())]

    def _function(self, impl: Impl) -> Callable[[Any, Any], Any]:
        return impl.fn if self.meter is None else self.meter.around(impl)


def _things(plugin: Plugin) -> Iterator[object]:
    """Everything that belongs to a plugin."""
    d = plugin.definitions
    yield from chain(d.entities, (extension for _, extension in d.extensions), d.events, d.hooks, d.services, d.roles)
    if plugin.settings is not None:
        yield plugin.settings


def _called(thing: object) -> str:
    return str(getattr(thing, "name", None) or getattr(thing, "__qualname__", thing))


def _parts(d: Definitions) -> Iterator[Contribution]:
    return chain(d.subscriptions, d.actions, d.jobs, d.panels, d.lifespans, d.routes)


def _used(d: Definitions) -> Iterator[type[Any]]:
    """The entities and events, of whomever, that a plugin's definitions mention."""
    yield from (entity for entity, _ in d.extensions)
    yield from chain.from_iterable((link.a, link.b) for link in d.links)
    yield from (_subject(subscription.event) for subscription in d.subscriptions)
    yield from (panel.entity for panel in d.panels)
    yield from (screen.entity for screen in d.screens)
    yield from (figure.entity for figure in _figures(d))
    yield from (retention.entity for retention in d.retentions)
    yield from (action.on for action in d.actions if action.on is not None)
    yield from (impl.on for impl in d.impls if impl.on is not None)


def _figures(d: Definitions) -> Iterator[Measure | Dimension | Rollup]:
    """What names fields of records; sources and metrics are functions."""
    yield from (figure for figure in d.figures if not isinstance(figure, Contribution))
    yield from d.dimensions
    yield from d.rollups


def _subject(event: Any) -> type[Any]:
    """The class that somebody must declare: ``Account`` for ``Created[Account]``, else the event itself."""
    arguments = get_args(event)
    subject: type[Any] = arguments[0] if arguments else event
    return subject


def _check_prefixes(plugin: Plugin) -> None:
    d = plugin.definitions
    checks.prefixed("hook", plugin.name, [h.name for h in d.hooks])
    checks.prefixed("event", plugin.name, [event_name(e) for e in d.events])
    checks.prefixed("role", plugin.name, [r.name for r in d.roles])
    checks.prefixed("permission", plugin.name, [a.permission for a in d.actions])
    checks.prefixed("message", plugin.name, [code for catalogue in d.catalogues for code in catalogue.templates])


def discover(names: Iterable[str]) -> tuple[Plugin, ...]:
    """Load the installed plugins picked by the names of their entry points in the group ``crm.plugins``; no other is imported.

    Raises:
        LoadError: one is not installed, cannot be imported, or is not a Plugin.
    """
    import importlib.metadata

    installed = {point.name: point for point in importlib.metadata.entry_points(group="crm.plugins")}
    return tuple(_load(name, installed) for name in names)


def _load(name: str, installed: Mapping[str, EntryPoint]) -> Plugin:
    from .surroundings import Surroundings

    if name not in installed:
        raise LoadError("plugin_not_installed", given=name, suggestion=closest(name, installed))
    before = Surroundings.now()
    plugin = imported(name, installed[name].value, installed[name].load)
    for what in before.changed():
        extra = facts("surroundings_changed", plugin=name, what=what)
        _log.warning("the import of the plugin %s changed the %s of the process", name, what.replace("_", " "), extra=extra)
    return plugin
