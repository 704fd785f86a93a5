"""What a plugin consists of, in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..entities.meta import spec
from ..events.event import event_name
from ..permissions.roles import entity_name

if TYPE_CHECKING:
    from ..hooks.definitions import Definitions
    from ..hooks.plugin import Plugin


def brought(plugin: Plugin) -> Sequence[str]:
    """Name what a plugin brings, kind by kind: ``entity acme.loyalty.card``, ``hears account.created: acme.loyalty.greet``."""
    return list(_brought(plugin))


def _brought(plugin: Plugin) -> Iterator[str]:
    d = plugin.definitions
    yield from (f"entity {spec(entity).name}" for entity in d.entities)
    yield from (f"extends {spec(entity).name}" for entity in dict.fromkeys(entity for entity, _ in d.extensions))
    yield from (f"event {event_name(event)}" for event in d.events)
    yield from (f"permission {name}" for name in sorted({action.permission for action in d.actions}))
    yield from (f"hook {impl.task}: {impl.name}" for impl in d.impls)
    yield from (f"hears {event_name(s.event)}: {s.name}" for s in d.subscriptions)
    yield from (f"job {job.name}" for job in d.jobs if not job.once)
    yield from (f"route {route.method} {route.address}" for route in d.routes)
    yield from (f"panel {panel.name}" for panel in d.panels)
    yield from (f"role {role.name}" for role in d.roles)
    yield from (f"may {grant}" for grant in d.grants)


def ending(plugin: Plugin, *, end_checks: bool) -> Sequence[str]:
    """Name what of a plugin runs no more where it is disabled."""
    d = plugin.definitions
    vetoes = _vetoes(plugin) if end_checks else ()
    hooks = (f"hook {impl.task}: {impl.name}" for impl in d.impls if not impl.guards_others)
    others = (f"{kind} {part.name}" for kind, parts in _running(d).items() for part in parts)
    return [*vetoes, *hooks, *(f"hears {event_name(s.event)}: {s.name}" for s in d.subscriptions), *others]


def staying(plugin: Plugin, *, end_checks: bool) -> Sequence[str]:
    """Name what of a plugin restricts others where it is disabled."""
    d = plugin.definitions
    rules = (f"rule {r.name}: {', '.join(each.actions)} {entity_name(each.entity)}" for r in d.roles for each in r.restrictions)
    fields = (f"field {r.name}: {entity_name(g.entity)}.{n} {level}" for r in d.roles for g in r.grants for n, level in g.fields.items())
    records = (f"read only {spec(entity).name}" for entity in d.entities)
    added = (f"read only {spec(entity).name}.{plugin.name}" for entity in dict.fromkeys(entity for entity, _ in d.extensions))
    return [*(() if end_checks else _vetoes(plugin)), *dict.fromkeys([*rules, *fields]), *records, *added]


def _vetoes(plugin: Plugin) -> Iterator[str]:
    for impl in plugin.definitions.impls:
        if impl.guards_others:
            yield f"veto {impl.name} ({' '.join([impl.task, *([spec(impl.on).name] if impl.on is not None else [])])})"


def _running(d: Definitions) -> Mapping[str, Sequence[Any]]:
    return {"job": d.jobs, "action": d.actions, "panel": d.panels, "route": d.routes, "lifespan": d.lifespans}
