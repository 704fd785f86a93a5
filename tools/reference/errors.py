"""The page of errors: classes, and every code with its words."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import crm_core
from crm_core import errors
from crm_core.errors import CRMError
from crm_core.messages import core_catalogues

from .markdown import code, prose, table

_CLASSES = {
    name: found for name, found in vars(errors).items() if inspect.isclass(found) and issubclass(found, CRMError) and found is not CRMError
}


def page() -> list[str]:
    """Return the lines of the page."""
    lines = ["# Errors", "", prose(CRMError.__doc__), "", "Every error has a `code`, a `status` (HTTP), `params` and `details`."]
    lines += ["`problem(locale, crm.messages)` is its RFC 9457 document."]
    rows = [(code(name), c.status, code(c.default_code), prose(c.__doc__)) for name, c in _CLASSES.items()]
    lines += table(("class", "status", "code", "meaning"), rows)
    lines += ["", "## Codes of the core", "", "A part in square brackets is left out where a value in it is missing."]
    raised = {c.default_code: {name} for name, c in _CLASSES.items()}
    for name, classes in _said(crm_core, _CLASSES).items():
        raised.setdefault(name, set()).update(classes)
    return lines + table(
        ("code", "raised as", "says"),
        [(code(name), ", ".join(sorted(raised.get(name, ()))), code(text)) for name, text in core_catalogues()[0].templates.items()],
    )


def raised(package: ModuleType) -> dict[str, set[str]]:
    """Return a plugin's own codes with the classes that they are raised as; what is only kept as data, as in a letter, has none."""
    own = dict(_own(package))
    found: dict[str, set[str]] = {c.default_code: {name} for name, c in own.items()}
    for name, classes in _said(package, _CLASSES | own).items():
        if "." in name:  # without one it is the core's
            found.setdefault(name, set()).update(classes)
    return found


def _own(package: ModuleType) -> Iterator[tuple[str, type[CRMError]]]:
    for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for name, value in vars(importlib.import_module(each.name)).items():
            if inspect.isclass(value) and issubclass(value, CRMError) and value.__module__ == each.name:
                yield name, value


def _said(package: ModuleType, classes: Mapping[str, Any]) -> dict[str, set[str]]:
    """Find the class that each code is raised as; the codes of errors that are kept as data have none."""
    found: dict[str, set[str]] = {}
    for root in package.__path__:
        for path in Path(root).rglob("*.py"):
            for call, given in _codes(ast.parse(path.read_text(encoding="utf-8")), classes):
                found.setdefault(given, set()).update([call] if call else [])
    return found


def _codes(tree: ast.AST, classes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes and node.args:
            yield from ((node.func.id, text) for text in _text(node.args[0]))
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            yield from (("", text) for key, value in pairs if key is not None and "code" in _text(key) for text in _text(value))


def _text(node: ast.AST) -> list[str]:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
