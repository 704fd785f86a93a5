"""What the source says of a value: a value keeps neither its annotation nor the docstring under its assignment."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from itertools import pairwise
from types import ModuleType
from typing import Any

from .markdown import prose


def assigned(found: Any, modules: Iterable[ModuleType]) -> tuple[str, str]:
    """Return the annotation and the docstring of the assignment that made a value.

    Raises:
        LookupError: no module assigns it with both.
    """
    for module in modules:
        names = {name for name, value in vars(module).items() if value is found}
        body = ast.parse(inspect.getsource(module)).body if names else []
        for statement, after in pairwise(body):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(after, ast.Expr):
                continue
            if isinstance(statement.target, ast.Name) and statement.target.id in names:
                return ast.unparse(statement.annotation), prose(ast.literal_eval(after.value))
    raise LookupError(f"{found!r} has no annotated assignment with a docstring under it")
