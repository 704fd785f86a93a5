"""What a plugin consists of, in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..entities.meta import spec
from ..events.event import event_name

if TYPE_CHECKING:
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


def checks(plugin: Plugin) -> Sequence[str]:
    """Name the vetoes that a plugin has beside those on its own records."""
    own = [spec(entity).name for entity in plugin.definitions.entities]
    found = ((impl, spec(impl.on).name if impl.on is not None else "") for impl in plugin.definitions.impls if impl.hook.kind == "veto")
    return [f"{impl.name} ({impl.task} {on}".rstrip() + ")" for impl, on in found if on not in own]
