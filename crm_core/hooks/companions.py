"""Companions: small plugins that join two others, and exist only in a CRM that has both.

So a plugin works without another and does more beside it: what it does then, and what it needs and may see for that, is a plugin of its
own, which requires both and is imported only there. Definitions stay without state, and every check of plugins holds for it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
                companion = _load(plugin, target)
                if companion not in real:
                    yield companion


def _load(plugin: Plugin, target: str) -> Plugin:
    module, _, name = target.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as cause:
        raise LoadError("plugin_import_failed", plugin=f"{plugin.name} ({target})", reason=f"{type(cause).__name__}: {cause}") from cause
    if not isinstance(found, Plugin):
        raise LoadError("not_a_plugin", given=target)
    return found
