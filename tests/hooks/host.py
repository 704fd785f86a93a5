"""The least that hooks and actions need of a session, so that this room is tested without a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from crm_core.errors import Denied, LoadError, NotFound
from crm_core.hooks.core_specs import CORE
from crm_core.hooks.dispatch import HookState
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.hooks.spec import Ctx
from crm_core.messages import Messages
from crm_core.permissions.actor import Actor


class Host:
    """A session over plugins: an actor with permissions, and the records it can see."""

    def __init__(self, *plugins: Plugin, permits: tuple[str, ...] = (), locale: str = "en") -> None:
        self.registry = Registry(plugins)
        self.hooks = HookState(self.registry)
        self.actor = Actor("7", locale=locale)
        self.messages = Messages(self.registry.catalogues)
        self.permits = permits
        self.records: dict[str, Any] = {}
        self.elevations: list[tuple[str, str]] = []

    def get(self, entity: type[Any], ref: Any) -> Any:
        found = self.records.get(ref.id)
        if found is None:
            raise NotFound(entity=entity.__name__)
        return found

    def permitted_stored(self, action: str, record: Any) -> bool:
        return True

    def check_action(self, permission: str, record: Any) -> Denied | None:
        return None if permission in self.permits else Denied(action=permission)

    @contextmanager
    def elevated(self, reason: str) -> Iterator[Host]:
        assert self.hooks.running is not None
        self.elevations.append((self.hooks.running.plugin, reason))
        yield self

    def ctx(self) -> Ctx:
        return Ctx(self)  # type: ignore[arg-type]  # the part of a session that hooks use


@attrs.define(eq=False)
class Line:
    """Something with a price."""

    price: int
    seen: list[str] = attrs.Factory(list)


def refused(make: Callable[[], Any]) -> LoadError:
    """Return the LoadError that loading raises; no other error will do."""
    try:
        make()
    except LoadError as e:
        return e
    raise AssertionError("it loaded")


@attrs.define
class Settings:
    """What a plugin may be configured with."""

    rate: int = 1
    tiers: list[str] = attrs.Factory(list)


def plugin(name: str, version: str = "1.0", **requires: str) -> Plugin:
    """Make an empty plugin."""
    return Plugin(name, version=version, requires=requires)


def names(registry: Registry) -> list[str]:
    """Return the names of the plugins, in their order, without the core."""
    return [p.name for p in registry.plugins if p is not CORE]
