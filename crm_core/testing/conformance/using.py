"""What a plugin really used of what it declares, in the kit's run: its hooks, its events, its grants and permissions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import attrs

from ...hooks.plugin import Plugin
from ...permissions.actor import Actor
from ...permissions.roles import entity_name

if TYPE_CHECKING:
    from ...crm import CRM
    from ...hooks.spec import FilterHook, Hook

LISTENER = "conformance_listener"


@attrs.frozen
class Used:
    """What was seen; what was not may be in code that the run did not reach.

    Attributes:
        hooks: names of the plugin's hooks that were called.
        events: names of events that were published by others than the kit.
        granted: (action, entity) that its own grants were asked for.
        permissions: what anybody's rights on records were asked for.
    """

    hooks: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    granted: frozenset[tuple[str, str]] = frozenset()
    permissions: frozenset[str] = frozenset()

    @classmethod
    def of(cls, crm: CRM, plugin: Plugin, actor: Actor, called: set[str], heard: Counter[str], emitted: Counter[str]) -> Used:
        """Look at a CRM in which *plugin* was used by *actor*.

        Args:
            called: the hooks that a listener heard.
            heard, emitted: how often each event was published at all, and by the kit.
        """
        own = crm.policies.resolve(Actor.service(plugin.name, tenant=actor.tenant))
        granted = frozenset((action, entity_name(entity)) for action, entity in own.asked)
        asked = granted | {(action, entity_name(entity)) for action, entity in crm.policies.resolve(actor).asked}
        events = frozenset(name for name, count in heard.items() if count > emitted[name])
        return cls(frozenset(called), events, granted, frozenset(action for action, _ in asked))


def listening(plugin: Plugin) -> tuple[list[Plugin], set[str]]:
    """Return a plugin that implements the hooks of another and changes nothing, if there are any, and the names of those called."""
    called: set[str] = set()
    listener = Plugin(LISTENER, version="1.0.0", requires={plugin.name: ""})
    for hook in plugin.definitions.hooks:
        # Of one kind or another: what it hears it gives back where that is asked for.
        listener.hook(cast("FilterHook[Any, Any]", hook))(_heard(hook, called))
    return [listener] if plugin.definitions.hooks else [], called


def _heard(hook: Hook[Any, Any], called: set[str]) -> Callable[[Any, Any], Any]:
    def hear(ctx: Any, value: Any) -> Any:
        called.add(hook.name)
        return value if hook.kind == "filter" else None

    return hear
