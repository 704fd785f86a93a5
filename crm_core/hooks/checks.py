"""What is checked when a CRM loads its plugins. Every error says which plugin, what is wrong and what to do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Never, NoReturn, get_args

import attrs

from ..entities.meta import extension_fields, spec
from ..errors import Invalid, LoadError
from ..messages import closest
from ..permissions.binding import bind
from .order import ordered
from .parts import Contribution, Impl, Job, Lifespan, Route
from .plugin import Plugin
from .retention import Retention, RetentionAction, check_period
from .spec import Hook

if TYPE_CHECKING:
    from .measures import Dimension, Measure, Rollup
    from .screens import Form, ListView

_NAME = r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*"

_CRON_FIELDS = 5

# Annotations that say a function returns nothing, and those that do not say; as text where they are not evaluated.
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_PATH = r"(/[A-Za-z0-9._~-]+)+"
_CELLS = frozenset({"bool", "date", "enum", "int", "ref", "str"})
_NOTHING = (None, "None")
_ANYTHING = (inspect.Signature.empty, Any, "Any", NoReturn, "NoReturn", Never, "Never")


def load_order(core: Plugin, plugins: Iterable[Plugin]) -> tuple[Plugin, ...]:
    """Order plugins so that each comes after those it requires; else as given, after the core.

    Raises:
        LoadError: two share a name, one is missing, its version does not fit, or they require each other in a circle.
    """
    given = [core, *plugins]
    index = {core.name: 0}
    for position, plugin in enumerate(given[1:], 1):
        _check_plugin(plugin)
        if plugin.name in index:
            raise LoadError("plugin_twice", plugin=plugin.name, one=given[index[plugin.name]].version, two=plugin.version)
        index[plugin.name] = position
    for plugin in given[1:]:
        _check_requirements(plugin, {p.name: p for p in given})
    comes_after = {index[p.name]: [index[name] for name in p.requires] for p in given}

    def circle(path: list[int]) -> LoadError:
        return LoadError("plugin_circle", chain=" → ".join(given[n].name for n in path))

    return tuple(given[n] for n in ordered(len(given), comes_after, circle))


def _check_plugin(plugin: object) -> None:
    if not isinstance(plugin, Plugin):
        raise LoadError("not_a_plugin", given=repr(plugin)[:80])
    if not isinstance(plugin.name, str) or not re.fullmatch(_NAME, plugin.name, re.ASCII):
        raise LoadError("plugin_bad_name", given=repr(plugin.name)[:80])
    from ..versions import Version

    Version.parse(plugin.version)


def _check_requirements(plugin: Plugin, loaded: Mapping[str, Plugin]) -> None:
    from ..versions import Version, VersionRange

    for name, wanted in plugin.requires.items():
        needed = VersionRange.parse(wanted)
        if name not in loaded:
            raise LoadError("plugin_missing", plugin=plugin.name, needed=name, range=wanted, suggestion=closest(name, loaded))
        version = Version.parse(loaded[name].version)
        if version not in needed:
            raise LoadError("plugin_incompatible", plugin=plugin.name, needed=name, range=wanted, reason=needed.explain(version))


def unique(kind: str, named: Iterable[tuple[str, str]]) -> None:
    """Check that no two (name, plugin) share a name.

    Raises:
        LoadError: two do.
    """
    owners: dict[str, str] = {}
    for name, plugin in named:
        if name in owners:
            raise LoadError("name_taken", kind=kind, name=name, one=owners[name], two=plugin)
        owners[name] = plugin


def prefixed(kind: str, plugin: str, names: Iterable[str]) -> None:
    """Check that names start with their plugin's.

    Raises:
        LoadError: one does not.
    """
    for name in names:
        if not name.startswith(f"{plugin}."):
            raise LoadError("name_unprefixed", kind=kind, name=name, plugin=plugin)


def required(plugin: Plugin, owner: str | None, thing: str, core: str) -> None:
    """Check that *plugin* may use a thing that *owner* declares.

    Raises:
        LoadError: nobody loaded declares it, or the plugin does not require who does.
    """
    if owner is None:
        raise LoadError("not_declared", plugin=plugin.name, thing=thing)
    if owner not in (plugin.name, core) and owner not in plugin.requires:
        raise LoadError("requirement_undeclared", plugin=plugin.name, thing=thing, other=owner)


def callable_as(part: Contribution) -> None:
    """Check that a contributed function can be called as the core will.

    Raises:
        LoadError: it takes other parameters, or is a generator, or a coroutine that nothing waits for: its body would never run.
    """
    fn = part.fn
    if isinstance(part, Lifespan):
        if not inspect.isgeneratorfunction(fn):
            raise LoadError("not_a_lifespan", plugin=part.plugin, part=part.name, where=part.where)
    elif (inspect.iscoroutinefunction(fn) and not part.may_wait) or inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise LoadError("not_a_plain_function", plugin=part.plugin, part=part.name, where=part.where)
    try:
        inspect.signature(fn).bind(*part.takes)
    except (TypeError, ValueError):
        raise LoadError("wrong_parameters", plugin=part.plugin, part=part.name, where=part.where, takes=", ".join(part.takes)) from None


def scheduled(job: Job) -> None:
    """Check a job's cron expression, where the extra that reads it is installed, or the version of a data migration.

    Raises:
        LoadError: ``job_schedule``, or ``bad_version``.
    """
    if job.version is not None:
        from ..versions import Version

        Version.parse(job.version)
        return
    try:
        from cronsim import CronSim, CronSimError
    except ModuleNotFoundError:
        return
    try:
        if len(job.every.split()) != _CRON_FIELDS:
            raise CronSimError("five fields are needed")
        CronSim(job.every, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as e:
        raise LoadError("job_schedule", job=job.name, every=job.every[:60], reason=str(e)[:200]) from None


def columns_free(entity: type[Any], added: Iterable[tuple[type[Any], str]]) -> None:
    """Check that no two fields of an entity and of what the plugins of one CRM add to it share a column.

    Raises:
        LoadError: ``field_taken``.
    """
    facts = spec(entity)
    taken = {column for f in facts.fields.values() for column in f.columns}
    for extension, plugin in added:
        for column in (column for f in extension_fields(extension).values() for column in f.columns):
            if column in taken:
                raise LoadError("field_taken", entity=facts.name, field=column, plugin=plugin)
            taken.add(column)


def rolled_up(rollup: Rollup) -> None:
    """Check that a rollup is of fields that make cells.

    Raises:
        LoadError: ``rollup_field``.
    """
    fields = spec(rollup.entity).fields
    for name in rollup.by:
        if name not in fields or fields[name].kind not in _CELLS or fields[name].apart:
            raise LoadError("rollup_field", rollup=rollup.name, field=name)
    if rollup.of is not None and (rollup.of not in fields or fields[rollup.of].kind != "money" or fields[rollup.of].options.scale != 6):
        raise LoadError("rollup_field", rollup=rollup.name, field=rollup.of)


def figured(figure: Measure | Dimension | Rollup, extensions: Callable[[type[Any]], Collection[type[Any]]]) -> None:
    """Check that the fields which a measure, dimension or rollup names are there, and that a measure's rule can be asked of its records.

    Raises:
        LoadError: ``figure_field``; of a rule, as :func:`crm_core.rules.check`.
    """
    from .measures import Measure, Rollup

    facts = spec(figure.entity)
    if isinstance(figure, Measure):
        bind(figure.where, facts, extensions=extensions)
    named: tuple[Any, ...] = (figure.of,)
    if isinstance(figure, Measure):
        named += (figure.at, figure.weight)
    elif isinstance(figure, Rollup):
        named += figure.by
    for name in named:
        if isinstance(name, str) and name not in facts.fields:
            close = closest(name, facts.fields)
            raise LoadError("figure_field", figure=figure.name, field=name, entity=facts.name, suggestion=close)


def routed(route: Route) -> None:
    """Check a route's method and path.

    Raises:
        LoadError: ``bad_route``.
    """
    if route.method not in _METHODS or not re.fullmatch(_PATH, route.path, re.ASCII):
        raise LoadError("bad_route", plugin=route.plugin, given=f"{route.method} {route.path}"[:80], where=route.where)


def shown(screen: Form | ListView, extensions: Callable[[type[Any]], Collection[type[Any]]]) -> None:
    """Check that a screen names fields that are there.

    Raises:
        LoadError: ``screen_field``.
    """
    from .screens import ListView

    facts = spec(screen.entity)
    known = {*facts.fields, *(f.column for each in extensions(screen.entity) for f in extension_fields(each).values())}
    extra = [*screen.filters, screen.sort.removeprefix("-")] if isinstance(screen, ListView) else []
    for name in (*screen.names, *extra):
        if name not in known:
            raise LoadError("screen_field", entity=facts.name, field=name, suggestion=closest(name, known))


def retained(rule: Retention, extensions: Callable[[type[Any]], Collection[type[Any]]]) -> None:
    """Check that a rule of retention can be asked of its records.

    Raises:
        LoadError: ``retention_field``, ``retention_action``, ``retention_period``; of its rule, as :func:`crm_core.rules.check`.
    """
    facts = spec(rule.entity)
    field = facts.fields.get(rule.since)
    if field is None or field.kind not in ("date", "datetime") or field.options.sealed:
        dated = [name for name, each in facts.fields.items() if each.kind in ("date", "datetime")]
        raise LoadError("retention_field", rule=rule.name, field=rule.since, entity=facts.name, suggestion=closest(rule.since, dated))
    if rule.action not in get_args(RetentionAction):
        raise LoadError("retention_action", rule=rule.name, given=str(rule.action)[:40])
    try:
        check_period(rule.keep)
    except Invalid as e:
        raise LoadError(e.code, **e.params) from e
    bind(rule.where, facts, extensions=extensions)


def implements(impl: Impl, hooks: Mapping[str, Hook[Any, Any]]) -> None:
    """Check an implementation against its hook.

    Raises:
        LoadError: the hook is unknown, or the function does not fit its kind.
    """
    hook = impl.hook
    if not isinstance(hook, Hook):
        raise LoadError("not_a_hook", plugin=impl.plugin, part=impl.name, where=impl.where, given=repr(hook)[:60])
    name = hook.name
    if hooks.get(name) is not hook:
        close = name if name in hooks else closest(name, hooks)
        raise LoadError("hook_unknown", plugin=impl.plugin, part=impl.name, where=impl.where, hook=name, suggestion=close)
    callable_as(impl)
    returns = getattr(impl.fn, "__annotations__", {}).get("return", inspect.Signature.empty)
    if (hook.kind == "filter" and returns in _NOTHING) or (hook.kind == "veto" and returns not in (*_NOTHING, *_ANYTHING)):
        raise LoadError(f"hook_{hook.kind}_returns", plugin=impl.plugin, part=impl.name, where=impl.where, hook=name)
    if impl.on is not None and not hook.by_entity:
        raise LoadError("hook_not_by_entity", plugin=impl.plugin, part=impl.name, where=impl.where, hook=name)


def call_order(impls: list[Impl], loaded: Iterable[str]) -> list[Impl]:
    """Order the implementations of one hook by their ``before`` and ``after``, else as given.

    Raises:
        LoadError: they want to run before each other, or name an implementation that a loaded plugin does not have.
    """
    names = frozenset(loaded)
    comes_after: dict[int, set[int]] = {n: set() for n in range(len(impls))}
    for n, impl in enumerate(impls):
        for other in _named(impl, impl.after, impls, names):
            comes_after[n].add(other)
        for other in _named(impl, impl.before, impls, names):
            comes_after[other].add(n)

    def circle(path: list[int]) -> LoadError:
        return LoadError("hook_circle", hook=impls[0].hook.name, chain=" → ".join(impls[n].name for n in path))

    return [impls[n] for n in ordered(len(impls), comes_after, circle)]


def _named(impl: Impl, target: str, impls: list[Impl], loaded: frozenset[str]) -> Iterator[int]:
    if not target:
        return
    others = [(n, other) for n, other in enumerate(impls) if other is not impl]
    if target in loaded:
        yield from (n for n, other in others if other.plugin == target)
    elif target.rpartition(".")[0] in loaded:
        found = [n for n, other in others if other.name == target]
        if not found:
            close = closest(target, [other.name for _, other in others])
            raise LoadError("hook_order_unknown", plugin=impl.plugin, part=impl.name, where=impl.where, target=target, suggestion=close)
        yield from found


def default_settings(plugin: Plugin) -> Any:
    """Make the plugin's settings as its class and the host's ``configured(...)`` have them; None where it has none.

    Raises:
        LoadError: a setting is unknown or refused, or one has no default.
    """
    cls = plugin.settings
    if cls is not None and not attrs.has(cls):
        raise LoadError("settings_not_attrs", plugin=plugin.name, given=cls.__name__)
    known = [a.name for a in attrs.fields(cls)] if cls is not None else []
    for name in plugin.configuration:
        if name not in known:
            raise LoadError("setting_unknown", path=f"{plugin.name}.{name}", suggestion=closest(name, known))
    if cls is None:
        return None
    try:
        if not plugin.configuration:
            return cls()
        from ..settings import load

        return load(cls, dict(plugin.configuration))
    except Invalid as wrong:
        raise LoadError(
            "settings_refused", plugin=plugin.name, details=[attrs.evolve(d, entity=plugin.name) for d in wrong.details]
        ) from wrong
    except Exception as cause:
        raise LoadError("settings_refused", plugin=plugin.name, reason=str(cause)) from cause
