"""What programs use, by syntax: no comment, docstring or import counts, and a word within a text counts only where a text is the use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import attrs

_WORDS = re.compile(r"[\w.-]+")
_LONG = 10
_TESTS = (ast.FunctionDef, ast.AsyncFunctionDef)


@attrs.frozen
class Uses:
    """What some programs use.

    Attributes:
        names: what they read, call or set: variables and attributes.
        given: what they give by name: keyword arguments and the keys of mappings.
        texts: their whole texts.
        words: the words of these.
        refusals: of each function that expects a Denied: the names and texts in it.
    """

    names: frozenset[str]
    given: frozenset[str]
    texts: frozenset[str]
    words: frozenset[str]
    refusals: frozenset[str]

    @property
    def classes(self) -> frozenset[str]:
        """The names of theirs that are called as classes are."""
        return frozenset(name for name in self.names if name[:1].isupper())

    def say(self, template: str) -> bool:
        """Say whether a program speaks of a message by its words: a fixed part of it, or a text that stands within one."""
        parts = [part.strip(" .:,") for part in re.split(r"[\[\]]|\{\w+\}", template)]
        long = [text for text in self.texts if len(text) >= _LONG]
        return any(part in text or text.strip(" .:,") in part for part in parts if len(part) >= _LONG for text in long)


def uses(programs: Iterable[str]) -> Uses:
    """Collect what programs use.

    Raises:
        SyntaxError: one of them is none.
    """
    found: dict[str, set[str]] = {"names": set(), "given": set(), "texts": set(), "refusals": set()}
    for program in programs:
        tree = ast.parse(program)
        told = {id(node) for node in _docstrings(tree)}
        for kind, name in _used(tree, told):
            found[kind].add(name)
        for function in (node for node in ast.walk(tree) if isinstance(node, _TESTS)):
            here = {name for _, name in _used(function, told)}
            if here & {"Denied", "denied"}:
                found["refusals"] |= here
    words = {word for text in found["texts"] for word in _WORDS.findall(text)}
    return Uses(**{kind: frozenset(names) for kind, names in found.items()}, words=frozenset(words))


def _used(tree: ast.AST, told: set[int]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield "names", name
            case ast.keyword(arg=str(name)):
                yield "given", name
            case ast.Dict(keys=keys):
                yield from (("given", k.value) for k in keys if isinstance(k, ast.Constant) and isinstance(k.value, str))
            case ast.Constant(value=str(text)) if id(node) not in told:
                yield "texts", text
                yield from (("texts", part) for part in text.replace("\\.", ".").split("|"))  # pytest.raises(match=r"sales\.won")


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value
