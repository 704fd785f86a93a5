"""The page of errors: classes, and every code with its words."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import crm_core
from crm_core import errors
from crm_core.errors import CRMError
from crm_core.messages import CORE

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
    raised = _raised()
    return lines + table(
        ("code", "raised as", "says"),
        [(code(name), ", ".join(sorted(raised.get(name, ()))), code(text)) for name, text in CORE[0].templates.items()],
    )


def _raised() -> dict[str, set[str]]:
    """Find the class that each code is raised as."""
    found: dict[str, set[str]] = {c.default_code: {name} for name, c in _CLASSES.items()}
    for path in Path(crm_core.__file__).parent.rglob("*.py"):
        for call, given in _calls(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(given, set()).add(call)
    return found


def _calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CLASSES and node.args:
            given = node.args[0]
            if isinstance(given, ast.Constant) and isinstance(given.value, str):
                yield node.func.id, given.value
