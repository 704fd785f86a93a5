"""The document of one plugin: who it is, what it contributes, and what it promises of that, from its code."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, get_args

import attrs

from ..catalogues import en
from ..entities.meta import extension_fields, spec
from ..events.event import Event, event_kind, subject_of
from ..hooks import declared
from ..hooks.core_specs import CORE
from ..hooks.plugin import Plugin
from ..hooks.registry import Registry
from ..hooks.spec import Ctx, Hook
from ..labels import ids
from . import names
from .texts import annotation_text, attribute_text, code_text, field_text

Document = dict[str, Any]
FORMAT = 1
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def package_of(plugin: Plugin) -> str:
    """Return the import package whose folder holds the plugin's ``plugin.json``."""
    return "crm_core" if plugin is CORE else plugin.package


def collect(registry: Registry, plugin: Plugin) -> Document:
    """Describe *plugin* as plain JSON, the same for the same code."""
    d = plugin.definitions
    marks = _Marks(plugin)
    document: Document = {
        "format": FORMAT,
        "plugin": plugin.name,
        "version": plugin.version,
        "label": plugin.label,
        "requires": dict(plugin.requires),
        "entities": {spec(e).name: _entity(e) for e in d.entities},
        "extensions": {spec(e).name: _columns(x) for e, x in d.extensions},
        "events": marks.each("events", {e.__event_name__: e for e in d.events}, _event),
        "hooks": marks.each("hooks", {h.name: h for h in d.hooks}, _hook),
        "actions": {a.name: _action(a) for a in d.actions},
        "data_migrations": {job.name: f"{job.version}, code {code_text(job.fn)}" for job in d.jobs if job.once},
        "permissions": _permissions(plugin),
        "settings": _attributes(plugin.settings) if plugin.settings else {},
        "errors": _errors(plugin),
        "api": marks.api(package_of(plugin)),
        "roles": {r.name: r.label for r in d.roles},
        "uses": _uses(plugin),
    }
    document |= {"experimental": sorted(marks.experimental), "deprecated": marks.deprecated}
    return document


class _Marks:
    """Finds under which names the things stand that a plugin marked."""

    def __init__(self, plugin: Plugin) -> None:
        self._young = {id(thing) for thing in plugin.definitions.experimental}
        self._old = {id(mark.thing): mark for mark in plugin.definitions.deprecations}
        self.experimental: list[str] = []
        self.deprecated: dict[str, str] = {}

    def each(self, part: str, things: Mapping[str, Any], describe: Callable[[Any], Any]) -> dict[str, Any]:
        for name, thing in things.items():
            self._look(f"{part} {name}", thing)
        return {name: describe(thing) for name, thing in things.items()}

    def api(self, package: str) -> dict[str, Any]:
        found = dict(names.api(package)) if package else {}
        if id(sys.modules.get(f"{package}.api")) in self._young:
            self.experimental.append("api")
        for name, thing in found.items():
            for member, value in names.members_of(thing) if isinstance(thing, type) else ():
                self._look(f"api {name}.{member}", value)
        return self.each("api", found, names.described)

    def _look(self, path: str, thing: Any) -> None:
        for key in {id(thing), id(getattr(thing, "__wrapped__", thing))}:
            if key in self._young:
                self.experimental.append(path)
            if key in self._old:
                self.deprecated[path] = f"{self._old[key].replacement}, {self._old[key].end}"


def _entity(entity: type[Any]) -> Document:
    facts = spec(entity)
    fields = {f.name: field_text(f) for f in facts.fields.values() if not f.system}
    return {"table": facts.name.replace(".", "_"), "fields": fields}


def _columns(extension: type[Any]) -> dict[str, str]:
    return {f.column: field_text(f) for f in extension_fields(extension).values()}


def _attributes(cls: type[Any], without: tuple[type[Any], ...] = ()) -> dict[str, str]:
    known = {a.name for base in without for a in attrs.fields(base)}
    # As it was written: who reads plain JSON into the class has its attributes' types resolved, and they say another text then.
    written = {name: text for base in reversed(cls.__mro__) for name, text in inspect.get_annotations(base).items()}
    return {a.name: attribute_text(a, written.get(a.name, a.type)) for a in attrs.fields(cls) if a.name not in known}


def _event(event: type[Event[Any]]) -> Document:
    record = subject_of(event)
    about = spec(record).name if record is not None else ""
    oldest = version = event.__event_version__
    while oldest - 1 in event.__event_upcasts__:
        oldest -= 1
    reads = [str(each) for each in range(oldest, version + 1)]
    return {"version": str(version), "reads": reads, "record": about, "fields": _attributes(event, (Event,))}


def _hook(hook: Hook[Any, Any]) -> Document:
    written = declared.annotation(hook)
    called = type(hook).__name__ if written is None else annotation_text(written)
    document: Document = {"is": f"{hook.kind} per {hook.per}", "version": str(hook.version), "type": called}
    arguments = get_args(declared.hint(hook))
    if arguments and arguments[0] is not Ctx and attrs.has(arguments[0]):
        document["context"] = _attributes(arguments[0], (Ctx,))
    for item in arguments[1:2]:
        value = next(iter(get_args(item)), item)
        if isinstance(value, type) and attrs.has(value) and not hasattr(value, "__crm_spec__"):
            document["value"] = _attributes(value)
    return document


def _action(action: Any) -> Document:
    returns = action.fn.__annotations__.get("return", "")
    return {
        "permission": action.permission,
        "on": spec(action.on).name if action.on is not None else "",
        "command": f"{action.command.__name__}",
        "fields": _attributes(action.command),
        "result": annotation_text(returns) if returns != "" else "",
    }


def _permissions(plugin: Plugin) -> dict[str, str]:
    found: dict[str, str] = {}
    for action in plugin.definitions.actions:
        found[action.permission] = ", ".join(filter(None, (found.get(action.permission), action.name)))
    return found | ({f"{plugin.name}.settings": "settings"} if plugin.settings else {})


def _errors(plugin: Plugin) -> dict[str, str]:
    """List the codes of its messages, with the parameters of each; what is a label is none."""
    labels = set(ids(plugin))
    catalogues = [c.templates for c in plugin.definitions.catalogues if c.locale == "en"]
    templates = dict(en.TEMPLATES) if plugin is CORE else {code: t for c in catalogues for code, t in c.items()}
    return {code: ", ".join(sorted(set(_PLACEHOLDER.findall(t)))) for code, t in templates.items() if code not in labels}


def _uses(plugin: Plugin) -> Document:
    """List what works by itself and what it asks for: no promise, but what a host wants to know before it installs."""
    d = plugin.definitions
    return {
        "grants": sorted(d.grants),
        "implements": sorted(f"{i.hook.name}: {i.name}" for i in d.impls),
        "subscribes": sorted(f"{event_kind(s.event)}: {s.name}" for s in d.subscriptions),
        "jobs": sorted(f"{j.name}: {j.every}" for j in d.jobs if not j.once),
        "panels": sorted(f"{p.name}: {spec(p.entity).name}" for p in d.panels),
        "ports": sorted(p.__name__ for p in d.ports),
        "routes": sorted(f"{r.method} {r.address}" for r in d.routes),
        "screens": sorted(f"{s.kind}: {spec(s.entity).name}" for s in d.screens),
        "figures": sorted(f.name for f in d.figures),
        "services": sorted(s.__name__ for s in d.services),
        "companions": sorted(f"{target}, beside {beside}" for target, beside in d.companions),
    }
