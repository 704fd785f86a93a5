"""Which implementation of a port a plugin gets: what the host gave, for those that said they need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import Denied, LoadError

if TYPE_CHECKING:
    from .registry import Registry


class Unreached(tuple[object, ...]):
    """No port, and none is demanded: for a CRM that looks after a database and runs none of the plugins' work."""


class Ports:
    """The ports of one CRM.

    Args:
        registry: its plugins.
        given: the host's implementations; each has the methods of one port that a plugin needs, or of one of ours. :class:`Unreached`
            where a port that is missing is an error of who calls it.

    Raises:
        LoadError: ``port_class``, ``port_missing``, ``port_twice``, ``port_unknown``.
    """

    def __init__(self, registry: Registry, given: Sequence[object]) -> None:
        self._needs: dict[str, tuple[Any, ...]] = {plugin.name: tuple(plugin.definitions.ports) for plugin in registry.plugins}
        self._given: dict[Any, Any] = {}
        if given:
            self._take(registry, given)
        if not isinstance(given, Unreached):
            self.demand()

    def _take(self, registry: Registry, given: Sequence[object]) -> None:
        from .. import ports

        known: list[type[Any]] = list(dict.fromkeys((ports.Files, ports.Mailer, ports.Http, ports.Notifier, *registry.ports)))
        for one in given:
            kinds = [kind for kind in known if isinstance(one, kind)]
            if isinstance(one, type):
                raise LoadError("port_class", given=one.__name__)
            if not kinds:
                raise LoadError("port_unknown", given=type(one).__name__)
            for kind in kinds:
                if self._given.setdefault(kind, one) is not one:
                    raise LoadError("port_twice", port=kind.__name__)

    def demand(self) -> None:
        """Check that every port which a plugin needs is there.

        Raises:
            LoadError: ``port_missing``.
        """
        for plugin, kinds in self._needs.items():
            for kind in kinds:
                self._found(kind, plugin)

    def _found(self, port: Any, plugin: str) -> Any:
        if port not in self._given:
            raise LoadError("port_missing", plugin=plugin, port=port.__name__)
        return self._given[port]

    def of(self, port: Callable[..., Any], tenant: str, plugin: str) -> Any:
        """Return what a plugin uses in a tenant.

        Raises:
            Denied: ``port_undeclared``.
            LoadError: ``port_missing``.
        """
        if port not in self._needs.get(plugin, ()):
            raise Denied("port_undeclared", plugin=plugin or "?", port=getattr(port, "__name__", str(port)))
        found = self._found(port, plugin)
        return found.scoped(tenant, plugin) if hasattr(found, "scoped") else found
