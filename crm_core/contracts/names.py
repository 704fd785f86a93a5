"""The public names of a plugin: its ``api``, name by name, with how each is called."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..entities.entity import Entity, Extension
from ..errors import CRMError
from ..events.event import Event
from ..hooks.spec import Hook
from .texts import annotation_text, call_text

# Public to the rooms of the core, not to hosts and plugins; ``()`` is the constructor.
INSIDE: Mapping[str, frozenset[str]] = {
    "CRM": frozenset({"codec", "references", "policy", "shape", "facts", "people", "binds", "check_emitter", "rollups"}),
    "Session": frozenset({"()", "attach", "derive", "origin", "elevated_core", "permitted", "note", "foresee", "check_action"}),
    "AsyncCRMSession": frozenset({"()"}),
    "Query": frozenset({"()"}),
    "Delivery": frozenset({"register"}),
    "Automation": frozenset({"check", "listening", "handle", "due", "run_slot"}),
}


def api(package: str) -> Iterator[tuple[str, Any]]:
    """Yield the names that others may import, with what they are: those of ``<package>.api``; for the core, of its public modules."""
    for module in ("crm_core", "crm_core.rules") if package == "crm_core" else (f"{package}.api",):
        if package == "crm_core" or find_spec(module) is not None:
            found = import_module(module)
            prefix = module.removeprefix("crm_core").removeprefix(".") if package == "crm_core" else ""
            yield from ((f"{prefix}.{name}".strip("."), getattr(found, name)) for name in found.__all__)


def described(thing: Any) -> Any:
    """Describe a public thing in a line, or its members a line each."""
    if isinstance(thing, Hook):
        return f"hook {thing.name}"
    if inspect.isfunction(thing):
        return call_text(thing)
    if not isinstance(thing, type):
        return type(thing).__name__
    if issubclass(thing, Entity | Extension) and thing not in (Entity, Extension):
        return "entity" if issubclass(thing, Entity) else "extension"
    if issubclass(thing, Event) and thing is not Event:
        return "event"
    if issubclass(thing, enum.Enum):
        return {member.name: repr(member.value) for member in thing}
    members = {"()": _made(thing)} | {name: _member(found) for name, found in members_of(thing)}
    if issubclass(thing, CRMError):
        members["status"] = str(thing.status)
    inside = INSIDE.get(thing.__name__, frozenset()) if thing.__module__.startswith("crm_core.") else frozenset()
    return {name: text for name, text in members.items() if name not in inside}


def _made(cls: type[Any]) -> str:
    try:
        return call_text(cls)
    except (TypeError, ValueError):
        return "(...)"


def _member(found: Any) -> str:
    if isinstance(found, property):
        returns = getattr(found.fget, "__annotations__", {}).get("return")
        return f"property: {annotation_text(returns)}"
    return call_text(found.__func__ if isinstance(found, classmethod | staticmethod) else found)


def members_of(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class and its bases of the same distribution define."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] != cls.__module__.partition(".")[0]:
            continue
        for name, found in vars(base).items():
            known = isinstance(found, property | classmethod | staticmethod) or inspect.isfunction(found)
            if known and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, found
