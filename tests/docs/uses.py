"""What programs name: their identifiers and the words of their strings, by syntax, so that no comment or docstring counts as a use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import attrs

_WORDS = re.compile(r"[\w.-]+")
_LONG = 10


@attrs.frozen
class Uses:
    """What some programs name."""

    names: frozenset[str]
    texts: tuple[str, ...]

    def say(self, template: str) -> bool:
        """Say whether a program speaks of a message by its words: a fixed part of it, or a text that stands within one."""
        parts = [part.strip(" .:,") for part in re.split(r"[\[\]]|\{\w+\}", template)]
        return any(part in text or text.strip(" .:,") in part for part in parts if len(part) >= _LONG for text in self.texts)


def uses(programs: Iterable[str]) -> Uses:
    """Collect what programs name.

    Raises:
        SyntaxError: one of them is none.
    """
    names: set[str] = set()
    texts: set[str] = set()
    for program in programs:
        tree = ast.parse(program)
        told = {id(node) for node in _docstrings(tree)}
        for node in ast.walk(tree):
            match node:
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)) | ast.alias(name=name):
                    names.add(name)
                case ast.Constant(value=str(text)) if id(node) not in told:
                    names.update(_WORDS.findall(text.replace("\\.", ".")))  # a pattern of pytest.raises(match=...)
                    texts.add(text)
    return Uses(frozenset(names), tuple(text for text in texts if len(text) >= _LONG))


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value
