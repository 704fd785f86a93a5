"""Which implementation of a port a plugin gets: what the host gave, for those that said they need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import Denied, LoadError

if TYPE_CHECKING:
    from .registry import Registry


class Ports:
    """The ports of one CRM.

    Args:
        registry: its plugins.
        given: the host's implementations; each has the methods of one port that a plugin needs, or of one of ours.

    Raises:
        LoadError: ``port_missing``, ``port_twice``, ``port_unknown``.
    """

    def __init__(self, registry: Registry, given: Sequence[object]) -> None:
        self._needs: dict[str, frozenset[Any]] = {plugin.name: frozenset(plugin.definitions.ports) for plugin in registry.plugins}
        self._given: dict[Any, Any] = {}
        if given or registry.ports:
            self._take(registry, given)

    def _take(self, registry: Registry, given: Sequence[object]) -> None:
        from .. import ports

        known: list[type[Any]] = list(dict.fromkeys((ports.Files, ports.Mailer, ports.Http, ports.Notifier, *registry.ports)))
        for one in given:
            kinds = [kind for kind in known if isinstance(one, kind)]
            if not kinds:
                raise LoadError("port_unknown", given=type(one).__name__)
            for kind in kinds:
                if self._given.setdefault(kind, one) is not one:
                    raise LoadError("port_twice", port=kind.__name__)
        for plugin in registry.plugins:
            for kind in plugin.definitions.ports:
                if kind not in self._given:
                    raise LoadError("port_missing", plugin=plugin.name, port=kind.__name__)

    def of(self, port: Callable[..., Any], tenant: str, plugin: str) -> Any:
        """Return what a plugin uses in a tenant.

        Raises:
            Denied: ``port_undeclared``.
        """
        if port not in self._needs.get(plugin, ()):
            raise Denied("port_undeclared", plugin=plugin or "?", port=getattr(port, "__name__", str(port)))
        found = self._given[port]
        return found.scoped(tenant, plugin) if hasattr(found, "scoped") else found
