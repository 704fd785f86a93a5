"""Rules of words: every label and message in English and Chinese, all that is public documented, all typed."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from ... import errors
from ...errors import CRMError
from ...hooks.plugin import Plugin
from ...labels import ids
from ...messages import closest, core_catalogues
from .rule import rule
from .source import Source
from .subject import Subject

LANGUAGES = ("en", "zh")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_ERRORS = frozenset(c.__name__ for c in vars(errors).values() if isinstance(c, type) and issubclass(c, CRMError))
# Where the message id stands: an error of ours takes it first, a refusal second, a Detail third.
_PLACES = {**dict.fromkeys(_ERRORS, 0), "refuse": 1, "Detail": 2}


def placeholders(template: str) -> set[str]:
    """Return the names of a template's parameters."""
    return set(re.findall(r"\{(\w+)\}", template))


def codes_in(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield the message ids that a syntax tree raises, as text or by a constant of the module, with the call of each."""
    constants = _constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
            place = _PLACES.get(name)
            given = node.args[place] if place is not None and len(node.args) > place else None
            said = constants.get(given.id) if isinstance(given, ast.Name) else given.value if isinstance(given, ast.Constant) else None
            if isinstance(said, str):
                yield said, node


def _constants(tree: ast.AST) -> dict[str, str]:
    """Return the texts that a module gives names."""
    found: dict[str, str] = {}
    for node in getattr(tree, "body", ()):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def raised(source: Source) -> dict[str, str]:
    """Return the message ids that a plugin raises, with where."""
    return {code: source.where(name, node) for name, tree in source.modules.items() for code, node in codes_in(tree)}


@cache
def core_codes() -> frozenset[str]:
    """Return the ids of the core's own messages."""
    return frozenset(code for catalogue in core_catalogues() for code in catalogue.templates)


def _words(*plugins: Plugin) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    for catalogue in (catalogue for plugin in plugins for catalogue in plugin.definitions.catalogues):
        found.setdefault(catalogue.locale, {}).update(catalogue.templates)
    return found


@rule("CK17", "translated")
def translated(subject: Subject) -> Iterator[str]:
    """Every label, and every message that it raises, is worded in English and in Chinese, with the same parameters."""
    plugin, own, words = subject.plugin, _words(subject.plugin), _words(subject.plugin, *subject.hosts)
    labels = {code for code in ids(plugin) if not code.startswith("core.")} - ({f"{plugin.name}.label"} if subject.hosts else set())
    said = dict.fromkeys(labels, "a label") | {
        code: where for code, where in raised(subject.source).items() if code.startswith(f"{plugin.name}.")
    }
    for code in sorted(said):
        for language in LANGUAGES:
            if code not in words[language]:
                like = closest(code, own[language].keys() - said.keys())
                mistyped = f" (is {like} meant, which has words and stands for nothing?)" if like else ""
                yield f"{code} ({said[code]}) has no words in {language!r}: add it to plugin.catalogue({language!r}, ...){mistyped}"
    for code in sorted(words["en"].keys() & words["zh"].keys()):
        if placeholders(words["en"][code]) != placeholders(words["zh"][code]):
            yield f"{code} has other parameters in Chinese than in English"
    yield from _gaps(subject.source, words["en"])
    for code, text in words["zh"].items():
        if code in labels and not _CHINESE.search(text) and re.search("[a-z]{3}", text) and text == words["en"].get(code):
            yield f"{code} is English in the Chinese catalogue"


def _gaps(source: Source, words: Mapping[str, str]) -> Iterator[str]:
    """Yield the calls that do not say what their message has a place for, outside of its optional parts."""
    for name, tree in source.modules.items():
        for code, call in codes_in(tree):
            given = {k.arg for k in call.keywords}
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called == "Detail" or None in given or code not in words:
                continue
            needed = placeholders(re.sub(r"\[[^\[\]]*\]", "", words[code]))
            for missing in sorted(needed - given):
                yield f"{source.where(name, call)} does not say {missing}, for which the message {code} has a place"


# -- documented and typed ---------------------------------------------------------------------------------------------------------


@rule("CK18", "documented")
def documented(subject: Subject) -> Iterator[str]:
    """Each entity, extension, event, command, settings class, hook, service and contributed function says in a docstring what it is."""
    d = subject.plugin.definitions
    classes = (*d.entities, *(x for _, x in d.extensions), *d.events, *(a.command for a in d.actions), *d.services)
    for cls in dict.fromkeys((*classes, *([subject.plugin.settings] if subject.plugin.settings else []))):
        if _undocumented(cls):
            yield f"the class {cls.__qualname__} has no docstring: say in a sentence what it is"
    for part in (*d.impls, *d.subscriptions, *d.actions, *d.jobs, *d.panels):
        if not inspect.getdoc(part.fn) and inspect.isfunction(part.fn):
            yield f"the {part.task} {part.name} ({Path(part.where).name}) has no docstring: say in a sentence what it does"
    said = _assigned(subject.source)
    for hook in d.hooks:
        names = {name for module in subject.source.loaded for name, value in vars(module).items() if value is hook}
        if not names & said:
            yield f"the hook {hook.name} has no docstring below it: say in a sentence when it is called and what its answers do"
    settings = subject.plugin.settings
    if settings is not None and attrs.has(settings):
        text = inspect.getdoc(settings) or ""
        yield from (
            f"the setting {a.name} is not explained in the docstring of {settings.__name__}"
            for a in attrs.fields(settings)
            if not re.search(rf"\b{a.name}\b", text)
        )


def _assigned(source: Source) -> set[str]:
    """Return the names whose assignment has a docstring below it."""
    found: set[str] = set()
    for tree in source.modules.values():
        for node, below in zip(tree.body, tree.body[1:], strict=False):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(text, ast.Constant) and isinstance(text.value, str):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def _undocumented(cls: type[Any]) -> bool:
    own = cls.__dict__.get("__doc__")
    return not own or own.startswith((f"{cls.__name__}(", "Method generated by attrs"))


@rule("CK19", "typed")
def typed(subject: Subject) -> Iterator[str]:
    """Each function says what it takes and returns, and a package has a file py.typed."""
    source = subject.source
    for name, tree in source.modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (missing := _unannotated(node)):
                yield f"{source.where(name, node)}: {node.name} does not say the type of {', '.join(missing)}"
    root = source.files.get(source.root)
    if root is not None and root.name == "__init__.py" and not root.with_name("py.typed").exists():
        yield f"{root.parent.name} has no file py.typed, so nobody's type checker reads its types"


def _unannotated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, *filter(None, (node.args.vararg, node.args.kwarg))]
    missing = [a.arg for a in given if a.annotation is None and a.arg not in ("self", "cls", "mcs")]
    return missing + ([] if node.returns is not None or node.name == "__init__" else ["what it returns"])
