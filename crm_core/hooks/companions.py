"""Companions: small plugins that join two others, and exist only in a CRM that has both.

So a plugin works without another and does more beside it: what it does then, and what it needs and may see for that, is a plugin of its
own, which requires both and is imported only there. Definitions stay without state, and every check of plugins holds for it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import import_module

from ..errors import LoadError
from .plugin import Plugin


def with_companions(plugins: Iterable[Plugin]) -> Iterator[Plugin]:
    """Yield *plugins*, and the companions of those whose other side is there too.

    Raises:
        LoadError: a companion cannot be imported, or is not a Plugin.
    """
    given = list(plugins)
    yield from given
    real = [p for p in given if isinstance(p, Plugin)]
    names = {p.name for p in real}
    for plugin in real:
        for target, beside in plugin.definitions.companions:
            if beside in names:
                companion = imported(f"{plugin.name} ({target})", target, partial(resolve, target))
                if companion not in real:
                    yield companion


def resolve(target: str) -> object:
    """Import what ``package.module:name`` names."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def imported(plugin: str, target: str, load: Callable[[], object]) -> Plugin:
    """Import a plugin, whatever its module does meanwhile.

    Args:
        plugin: what the error calls it.
        target: ``package.module:name`` of its definition.
        load: imports it.

    Raises:
        LoadError: it cannot be imported, or is not a Plugin.
    """
    try:
        found = load()
    except Exception as cause:
        raise LoadError("plugin_import_failed", plugin=plugin, reason=f"{type(cause).__name__}: {cause}") from cause
    if not isinstance(found, Plugin):
        raise LoadError("not_a_plugin", given=target)
    return found
