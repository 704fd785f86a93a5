"""pluggy's registry of the implementations of all hooks, in the order in which they run."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from .parts import Impl

if TYPE_CHECKING:
    from .plugin import Plugin
    from .spec import Hook

_spec = pluggy.HookspecMarker("crm")


@_spec
def _all(ctx: Any, value: Any) -> None:
    """The signature of every hook, for pluggy."""


@_spec(firstresult=True)
def _first(ctx: Any, value: Any) -> None:
    """The same for hooks whose first answer counts."""


class _Manager(pluggy.PluginManager):
    """Takes each implementation for a plugin of its own.

    A hook has an order of its own (``before=``, ``after=``), and an implementation may have to rest while another of the same plugin
    (a veto) stays; both need registration one by one.
    """

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        if not isinstance(plugin, Impl) or name != "call":
            return None
        return {
            "specname": plugin.hook.name,
            "wrapper": False,
            "hookwrapper": False,
            "optionalhook": False,
            "tryfirst": False,
            "trylast": False,
        }


def registered(plugins: Iterable[Plugin], order: Mapping[Hook[Any, Any], Sequence[Impl]]) -> pluggy.PluginManager:
    """Register plugins, and the implementations of each hook in the *order* in which they run."""
    manager = _Manager("crm")
    specs = types.ModuleType("crm_hooks")
    vars(specs).update({hook.name: _first if hook.kind == "first" else _all for hook in order})
    manager.add_hookspecs(specs)
    for plugin in plugins:
        manager.register(plugin, plugin.name)
    for hook, impls in order.items():
        # pluggy calls who registered last first.
        for n, impl in reversed(list(enumerate(impls))):
            manager.register(impl, f"{hook.name} {n} {impl.name}")
    manager.check_pending()
    return manager
