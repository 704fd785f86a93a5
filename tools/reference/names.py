"""The page of public names: what ``from crm_core import ...`` gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import attrs

import crm_core
import crm_core.adoption
import crm_core.ports
import crm_core.rules
import crm_core.testing
from crm_core import CRM, CRMError, Entity, Event, Money, Page, Plugin, Query, Role, Session
from crm_core.adoption import AdoptedTables
from crm_core.asession import AsyncCRMSession
from crm_core.automation.engine import Automation
from crm_core.contracts.names import INSIDE
from crm_core.events.delivery import Delivery
from crm_core.events.wake import Worker
from crm_core.ext import django, fastapi, flask
from crm_core.hooks import core_specs
from crm_core.permissions import predicates
from crm_core.ports import Files, Http, Mailer, Notifier
from crm_core.storage.migrations import Migrations
from crm_core.testing import Kit

from .markdown import code, prose, section, table
from .source import assigned

_AT_LENGTH: tuple[type[Any], ...] = (
    *(CRM, Session, AsyncCRMSession, Query, Page, Entity, Money, Role, Plugin, Event, CRMError),
    *(Migrations, AdoptedTables, Delivery, Worker, Automation),
    *(Files, Mailer, Http, Notifier, Kit),
)
_WHERE = {
    Migrations: "crm.migrations",
    AdoptedTables: "crm.adoption",
    Delivery: "crm.delivery",
    Worker: "crm.worker()",
    Automation: "crm.automation",
}


def page() -> list[str]:
    """Return the lines of the page."""
    where = "A host or a plugin imports these from `crm_core`, and from the modules that are headings below"
    lines = ["# Public names", "", f"{where}; whatever stands elsewhere is not public."]
    lines += table(("name", "is"), [(code(name), _said(getattr(crm_core, name))) for name in crm_core.__all__])
    lines += ["", "## crm_core.rules", "", prose(crm_core.rules.__doc__)]
    lines += table(("name", "is"), [(code(name), _said(getattr(crm_core.rules, name))) for name in crm_core.rules.__all__])
    for module in (crm_core.adoption, crm_core.ports, crm_core.testing, fastapi, flask, django):
        lines += ["", f"## {module.__name__}", "", prose(module.__doc__)]
        lines += table(("name", "is"), [(code(_called(getattr(module, name))), _said(getattr(module, name))) for name in module.__all__])
    lines += ["", "## field", "", prose(crm_core.field.__doc__), *arguments(crm_core.field)]
    for cls in _AT_LENGTH:
        where = f", as {code(_WHERE[cls])}" if cls in _WHERE else ""
        lines += ["", f"## {cls.__name__}{where}", "", prose(cls.__doc__)]
        lines += table(("method", "does"), [(code(called), said) for called, said in _methods(cls)])
    return lines


def arguments(call: Callable[..., Any]) -> list[str]:
    """Return the table of a function's arguments, as its signature and its docstring have them.

    Raises:
        KeyError: the docstring leaves one out.
    """
    meanings = section(call.__doc__, "Args")
    rows = [(code(p.name), meanings[p.name], _default(p)) for p in inspect.signature(call).parameters.values()]
    return table(("argument", "meaning", "default"), rows)


def _default(parameter: inspect.Parameter) -> str:
    given = parameter.default
    return "" if given in (attrs.NOTHING, None, "", inspect.Parameter.empty) else code(given)


def _called(found: Any) -> str:
    """Write a name as it is called: with its parameters, but for a protocol, which nobody calls."""
    protocol = getattr(found, "_is_protocol", False)
    return str(found.__name__) if protocol else f"{found.__name__}{_plain(list(inspect.signature(found).parameters.values()))}"


def _said(found: Any) -> str:
    if inspect.isclass(found) or inspect.isfunction(found) or inspect.ismodule(found):
        return prose(found.__doc__)
    return assigned(found, (core_specs, predicates))[1]


def _methods(cls: type[Any]) -> Iterator[tuple[str, str]]:
    for name, member in _members(cls):
        if isinstance(member, property):
            yield name, prose(member.__doc__)
        else:
            call = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if inspect.isfunction(call) and call.__doc__:
                yield f"{name}{_signature(call)}", prose(call.__doc__)


def _members(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the public members that our own classes define, in the order of their source."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith("crm_core"):
            for name, member in vars(base).items():
                if not name.startswith("_") and name not in {*seen, *INSIDE.get(cls.__name__, ())}:
                    seen.add(name)
                    yield name, member


def _signature(call: Callable[..., Any]) -> str:
    """Write the parameters by name, with their defaults and without types, which the source shows better."""
    return _plain(list(inspect.signature(call).parameters.values())[1:])


class _Made:
    """Stands for a default that is an object."""

    def __repr__(self) -> str:
        return "..."


def _plain(parameters: list[inspect.Parameter]) -> str:
    made = (p.replace(annotation=inspect.Parameter.empty) for p in parameters)
    return str(inspect.Signature([p.replace(default=_Made()) if _is_object(p.default) else p for p in made]))


def _is_object(default: Any) -> bool:
    return default is attrs.NOTHING or inspect.isfunction(default)
