"""The page of a plugin: all that it declares."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, get_type_hints

import attrs

from crm_core import CRM, Account, Created, Deleted, Entity, Plugin, Restored, Updated
from crm_core.contracts.collect import collect
from crm_core.entities.meta import extension_fields, spec
from crm_core.events.event import Event, event_kind
from crm_core.hooks.actions import ActionDef
from crm_core.hooks.spec import Hook
from crm_core.permissions.predicates import everything
from crm_core.permissions.roles import ACTIONS, Role, entity_name

from . import errors
from .fields import meaning
from .markdown import code, prose, section, table
from .source import assigned
from .types import default, hint, kind, notes

_OWN_PERMISSIONS = {"core.roles": "define roles of a tenant, as data", "core.rollups": "rebuild the sums that are kept with every write"}
_AUTOMATIC: tuple[type[Event[Any]], ...] = (Created, Updated, Deleted, Restored)
_KINDS = {
    "filter": "changes values",
    "veto": "may refuse",
    "first": "the first answer counts",
    "collect": "everybody may answer",
}


def page(crm: CRM, plugin: Plugin, package: str) -> list[str]:
    """Return the lines of a plugin's page."""
    d = plugin.definitions
    needs = "".join(f", with {code(name)} {code(versions)}" for name, versions in plugin.requires.items())
    lines = [f"# {plugin.label}", "", f"The plugin {code(plugin.name)}, version {plugin.version}{needs}."]
    if plugin.name == "core":
        lines += _part("Every record", [_every_record()])
    lines += _part("Entities", (_entity(e) for e in d.entities))
    lines += _part("Fields added to others", (_extension(x) for _, x in d.extensions))
    lines += _part("Events", (_event(e) for e in (_AUTOMATIC if plugin.name == "core" else d.events)))
    lines += _part("Hooks", (_hook(h, package) for h in d.hooks))
    lines += _part("Actions", (_action(crm, a) for a in d.actions))
    lines += _part("Permissions", [list(_permissions(plugin))])
    lines += _part("Roles", (_role(r) for r in d.roles))
    lines += _part("Figures", [_figures(crm, plugin)])
    lines += _part("Settings", [_settings(plugin)])
    lines += _part("Errors", [] if plugin.name == "core" else [_errors(crm, plugin, package)])
    lines += _part("Services", (_service(s) for s in d.services))
    lines += _part("Works by itself", [list(_automatic(plugin))])
    return lines


def _part(title: str, parts: Iterable[list[str]]) -> list[str]:
    found = [line for part in parts for line in part]
    return ["", f"## {title}", *found] if found else []


def _every_record() -> list[str]:
    rows = [(code(f.name), kind(f)) for f in spec(Account).fields.values() if f.system]
    return ["", prose(inspect.cleandoc(Entity.__doc__ or "").partition("\n\n")[2]), *table(("field", "holds"), rows)]


def _entity(entity: Any) -> list[str]:
    facts = spec(entity)
    known = [f for f in facts.fields.values() if not f.system]
    rows = [(code(f.name), f.options.label, kind(f), meaning(entity, f.name), ", ".join(notes(f))) for f in known]
    lines = ["", f"### {code(facts.name)}", "", f"{code(entity.__name__)}: {prose(entity.__doc__)}"]
    if facts.append_only:
        lines += ["", "Never changed or deleted once it is written."]
    return lines + table(("field", "label", "takes", "meaning", "remarks"), rows)


def _extension(extension: Any) -> list[str]:
    known = extension_fields(extension).values()
    rows = [(code(f.name), code(f.column), kind(f), meaning(extension, f.name), ", ".join(notes(f))) for f in known]
    lines = ["", f"### {code(extension.__name__)}", "", prose(extension.__doc__)]
    return lines + table(("field", "column", "takes", "meaning", "remarks"), rows)


def _event(event: Any) -> list[str]:
    inherited = get_type_hints(Event)
    hints = get_type_hints(event)
    rows = [(code(a.name), hint(hints[a.name])) for a in attrs.fields(event) if a.name not in inherited]
    name = f"<entity>.{event.__event_verb__}.v1" if event.__event_verb__ else event_kind(event)
    return ["", f"### {code(name)}", "", f"{code(event.__name__)}: {prose(event.__doc__)}", *table(("field", "is"), rows)]


def _hook(hook: Hook[Any, Any], package: str) -> list[str]:
    per = "once for a batch" if hook.per == "batch" else "for each item"
    entity = "; may be implemented for one entity" if hook.by_entity else ""
    lines = ["", f"### {code(hook.name)}", "", f"A {code(hook.kind)} hook ({_KINDS[hook.kind]}), called {per}{entity}."]
    annotation, said = assigned(hook, _modules(package))
    return [*lines, "", said, "", f"Its type is {code(annotation)}: what an implementation gets, and what it works on."]


def hook_said(hook: Hook[Any, Any], package: str) -> str:
    """Return what the docstring under a hook's assignment says of it."""
    return assigned(hook, _modules(package))[1]


def _modules(package: str) -> Iterator[ModuleType]:
    yield from (importlib.import_module(i.name) for i in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."))


def _action(crm: CRM, action: ActionDef) -> list[str]:
    label = crm.messages.template(action.label) or action.label
    on = f" on {code(spec(action.on).name)}" if action.on is not None else ""
    lines = ["", f"### {code(action.name)}", "", f"{label}{on}, by the permission {code(action.permission)}."]
    lines += ["", f"Command {code(action.command.__name__)}: {prose(action.command.__doc__)}"]
    hints = get_type_hints(action.command)
    rows = [(code(a.name), hint(hints[a.name]), default(a)) for a in attrs.fields(action.command)]
    return lines + table(("field", "takes", "default"), rows)


def permissions(plugin: Plugin) -> dict[str, str]:
    """Return the permissions of a plugin that are about no entity, with what each allows."""
    found: dict[str, list[str]] = {}
    for action in plugin.definitions.actions:
        found.setdefault(action.permission, []).append(f"the action {code(action.name)}")
    if plugin.settings is not None:
        found[f"{plugin.name}.settings"] = ["change the settings of a tenant"]
    own = {name: meaning for name, meaning in _OWN_PERMISSIONS.items() if name.startswith(f"{plugin.name}.")}
    return {name: ", ".join(uses) for name, uses in sorted(found.items())} | own


def _permissions(plugin: Plugin) -> Iterator[str]:
    if plugin.name == "core":
        yield from ("", f"On the records of every entity: {', '.join(map(code, ACTIONS))}.")
    yield from table(("permission", "allows"), [(code(name), uses) for name, uses in permissions(plugin).items()])


def _role(role: Role) -> list[str]:
    lines = ["", f"### {code(role.name)}"]
    if role.extends:
        lines += ["", f"Everything of {', '.join(map(code, role.extends))}, and:"]
    rows = [(code(entity_name(g.entity)), ", ".join(g.actions), "" if g.where == everything else code(g.where)) for g in role.grants]
    lines += table(("on", "may", "where"), rows)
    if role.permissions:
        lines += ["", f"Permissions: {', '.join(code(p) for p in sorted(role.permissions))}."]
    return lines


def _figures(crm: CRM, plugin: Plugin) -> list[str]:
    d = plugin.definitions
    figures = [(code(f.name), crm.messages.text(f.label, {}), f.unit, f.formula) for f in d.figures]
    dimensions = [(code(x.name), crm.messages.text(x.label, {}), code(spec(x.entity).name)) for x in d.dimensions]
    rollups = [(code(r.name), code(spec(r.entity).name), ", ".join(map(code, r.by)), code(r.of) if r.of else "") for r in d.rollups]
    lines = table(("figure", "label", "unit", "is"), figures) + table(("dimension", "label", "of"), dimensions)
    return lines + table(("kept sums", "of", "by", "adding up"), rollups)


def _errors(crm: CRM, plugin: Plugin, package: str) -> list[str]:
    """List the codes of the package's own errors; those of letters and findings, which nobody raises, have no class."""
    raised = errors.raised(importlib.import_module(package), collect(crm.registry, plugin)["errors"])
    rows = ((code(name), ", ".join(map(code, sorted(classes))), crm.messages.template(name)) for name, classes in sorted(raised.items()))
    return table(("code", "raised as", "says"), [(name, by, code(said or "")) for name, by, said in rows])


def _settings(plugin: Plugin) -> list[str]:
    if plugin.settings is None:
        return []
    meanings, hints = section(plugin.settings.__doc__, "Attributes"), get_type_hints(plugin.settings)
    rows = [(code(a.name), hint(hints[a.name]), default(a), meanings[a.name]) for a in attrs.fields(plugin.settings)]
    return table(("setting", "takes", "default", "meaning"), rows)


def _service(service: type[Any]) -> list[str]:
    rows = [(code(f"{n}()"), prose(m.__doc__)) for n, m in vars(service).items() if inspect.isfunction(m) and not n.startswith("_")]
    return ["", f"### {code(service.__name__)}", "", prose(service.__doc__), *table(("method", "does"), rows)]


def _automatic(plugin: Plugin) -> Iterator[str]:
    d = plugin.definitions
    rows = [("subscriber", code(s.name), code(event_kind(s.event)), prose(s.fn.__doc__)) for s in d.subscriptions]
    rows += [("job", code(j.name), code(j.every), prose(j.fn.__doc__)) for j in d.jobs]
    rows += [("panel", code(p.name), f"beside {code(spec(p.entity).name)}", prose(p.fn.__doc__)) for p in d.panels]
    yield from table(("", "name", "when", "does"), rows)
    if d.grants:
        yield from ("", f"Beside its own entities it may: {', '.join(map(code, d.grants))}.")
