"""What a plugin promises, held against its checked-in plugin.json and the version of its package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ...contracts.collect import collect, package_of
from ...contracts.compare import differences
from ...contracts.document import read
from ...messages import Messages
from .subject import Subject

GROUP = "crm.plugins"


def promises_kept(subject: Subject) -> Iterator[str]:
    """Yield what the code offers otherwise than its plugin.json, as ``crm plugin lock --check`` does, and a version of two minds."""
    plugin = subject.plugin
    before = read(package_of(plugin))
    if before is None or before.get("plugin") != plugin.name:
        subject.notes.append(f"{plugin.name} has no plugin.json: write one with crm plugin lock")
    else:
        with subject.crm(migrate=False) as crm:
            now = collect(crm.registry, plugin)
        yield from (f"{found.words(Messages())} Run crm plugin lock {plugin.name}" for found in differences(before, now))
        if before["version"] != plugin.version:
            yield f"plugin.json is of version {before['version']}, the code of {plugin.version}: run crm plugin lock {plugin.name}"
    yield from _of_its_package(subject)


def payloads_kept(subject: Subject) -> dict[str, dict[str, Any]]:
    """Return the payloads that plugin.json keeps, by the event's name and version."""
    document = read(package_of(subject.plugin)) or {}
    return {name: event.get("payloads", {}) for name, event in document.get("events", {}).items()}


def _of_its_package(subject: Subject) -> Iterator[str]:
    """Compare the version with that of the installed distribution, where it carries this plugin and no other."""
    plugin = subject.plugin
    found = [point for point in entry_points(group=GROUP) if point.name == plugin.name and point.module.partition(".")[0] == plugin.package]
    for point in found:
        said = point.dist.version if point.dist is not None else plugin.version
        if _alone(point) and said != plugin.version:
            mine = f"Plugin({plugin.name!r}, version={plugin.version!r})"
            yield f"{mine} comes in a package of version {said}: give both the same one, and install it anew"


def _alone(point: EntryPoint) -> bool:
    return point.dist is not None and len(point.dist.entry_points.select(group=GROUP)) == 1
