"""What a plugin reads without a grant: it finds nothing, for it does not exist for the plugin; who wrote it is told, in the log alone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..logs import facts
from .roles import entity_name

if TYPE_CHECKING:
    from .policy import Policy

_log = logging.getLogger(__name__)


class Ungranted:
    """What the plugins of one CRM know that they may not read."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def asked(self, policy: Policy, entity: type) -> None:
        """Note that somebody asks whether they may read an entity: a plugin that does so knows the answer."""
        for plugin in _plugins(policy):
            self._known.add((plugin, entity_name(entity)))

    def read(self, policy: Policy, entity: type) -> None:
        """Tell once, in the log, that a plugin reads an entity of which none of its grants lets it see anything."""
        name = entity_name(entity)
        for plugin in _plugins(policy):
            if (plugin, name) in self._known or any(role.allows("read", name) for role in policy.roles):
                continue
            self._known.add((plugin, name))
            told = '%s reads %s and finds nothing: it lacks plugin.grants("%s:read"). Where that is meant, let it ask session.can first.'
            _log.warning(told, plugin, name, name, extra=facts("grant_missing", plugin=plugin, entity=name))


def _plugins(policy: Policy) -> list[str]:
    """Return the plugin whose own actor's policy it is; none where it is another's, or where a tenant has modules off."""
    return [] if policy.off else [role.namespace.removesuffix(".") for role in policy.roles if role.namespace]
