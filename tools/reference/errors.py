"""The page of errors: classes, and every code with its words."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import crm_core
from crm_core import errors
from crm_core.errors import CRMError
from crm_core.messages import core_catalogues
from crm_core.testing.conformance.wording import codes_in

from .markdown import code, prose, table

_CLASSES = {
    name: found for name, found in vars(errors).items() if inspect.isclass(found) and issubclass(found, CRMError) and found is not CRMError
}

# What raises no class of its own: a hook's refusals leave the session as one error, and a detail stands in another.
_CALLED: Mapping[str, Collection[str]] = {"refuse": ["Refused"], "Detail": []}


def page() -> list[str]:
    """Return the lines of the page."""
    lines = ["# Errors", "", prose(CRMError.__doc__), "", "Every error has a `code`, a `status` (HTTP), `params` and `details`."]
    lines += ["`problem(locale, crm.messages)` is its RFC 9457 document."]
    rows = [(code(name), c.status, code(c.default_code), prose(c.__doc__)) for name, c in _CLASSES.items()]
    lines += table(("class", "status", "code", "meaning"), rows)
    lines += ["", "## Codes of the core", "", "A part in square brackets is left out where a value in it is missing."]
    said = _said(crm_core)
    for name, c in _CLASSES.items():
        said.setdefault(c.default_code, set()).add(name)
    return lines + table(
        ("code", "raised as", "says"),
        [(code(name), ", ".join(sorted(said.get(name, ()))), code(text)) for name, text in core_catalogues()[0].templates.items()],
    )


def raised(package: ModuleType, codes: Collection[str]) -> dict[str, set[str]]:
    """Return those of a plugin's *codes* that its source names, with the classes that they are raised as; what is only kept as data,
    as in a letter, and what a detail alone says, has none."""
    found = _said(package)
    for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for name, value in vars(importlib.import_module(each.name)).items():
            if inspect.isclass(value) and issubclass(value, CRMError) and value.__module__ == each.name:
                found.setdefault(value.default_code, set()).add(name)
    return {name: classes for name, classes in found.items() if name in codes}


def _said(package: ModuleType) -> dict[str, set[str]]:
    """Find the classes that codes are raised as, and texts that may be codes, of which it is not known."""
    found: dict[str, set[str]] = {}
    for root in package.__path__:
        for path in Path(root).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for given, call in codes_in(tree):
                found.setdefault(given, set()).update(_CALLED.get(_called(call), [_called(call)]))
            for given in _given(tree):
                found.setdefault(given, set())
    return found


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _given(tree: ast.AST) -> Iterator[str]:
    """Yield the texts that are handed on or kept, but for words of a page or a table."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from _texts(*node.values)
        elif isinstance(node, ast.Call) and not _called(node).endswith("text"):
            yield from _texts(*node.args)


def _texts(*nodes: ast.AST) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.IfExp):
            yield from _texts(node.body, node.orelse)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
