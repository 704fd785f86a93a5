"""The plugins of the project one works on: those that its ``pyproject.toml`` names, with the others they require."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from functools import partial
from importlib import invalidate_caches
from pathlib import Path

from ..errors import Invalid
from ..hooks.companions import imported, resolve
from ..hooks.plugin import Plugin
from ..hooks.registry import Registry, discover

CORE_NAME = "core"


def targets(folder: Path) -> dict[str, str]:
    """Return the entry points of the group ``crm.plugins`` of the project in *folder*.

    Raises:
        Invalid: ``cli_plugin_no_project``: there is no pyproject.toml, or it names no plugin.
    """
    path = folder / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}) if path.is_file() else {}
    found: dict[str, str] = project.get("entry-points", {}).get("crm.plugins", {})
    if not found:
        raise Invalid("cli_plugin_no_project", path=str(path))
    return found


def loaded(folder: Path, names: Sequence[str] = ()) -> tuple[Registry, list[Plugin]]:
    """Load plugins of a project, those called *names* or all, with what they require.

    Returns:
        A registry of them, and the plugins asked for.

    Raises:
        Invalid: ``cli_plugin_no_project``.
        LoadError: one is not there, or does not fit.
    """
    known = targets(folder)
    if str(folder.resolve()) not in sys.path:
        sys.path.insert(0, str(folder.resolve()))
    invalidate_caches()  # of files that were written a moment ago
    wanted = list(names or known)
    plugins: dict[str, Plugin] = {}
    waiting = [name for name in wanted if name != CORE_NAME]
    while waiting:
        name = waiting.pop()
        if name not in plugins and name != CORE_NAME:
            plugins[name] = _load(name, known)
            waiting += plugins[name].requires
    registry = Registry(plugins.values())
    return registry, [registry.plugin(name) for name in wanted]


def _load(name: str, known: dict[str, str]) -> Plugin:
    if name in known:
        return imported(name, known[name], partial(resolve, known[name]))
    return discover([name])[0]
