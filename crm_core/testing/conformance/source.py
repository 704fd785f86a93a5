"""A plugin's source: which modules are its own, as syntax trees."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import attrs

from ...entities.meta import EntityMeta
from ...hooks.plugin import Plugin
from .rule import Unproved

_IMPORTERS = frozenset({"import_module", "importlib.import_module", "__import__"})


@attrs.frozen
class Call:
    """A call of ``hash`` or of what was imported, under the name it has at home: ``datetime.datetime.now``."""

    name: str
    where: str


class Source:
    """The modules of one plugin: those of its package, or the one module that defines it; a companion's are the companion's.

    Attributes:
        root: the package, or the module.
        modules: syntax tree by module name.
    """

    def __init__(self, plugin: Plugin, apart: frozenset[str] = frozenset()) -> None:
        self.plugin = plugin
        self.root = _home(plugin)
        self._apart = apart

    @cached_property
    def files(self) -> Mapping[str, Path]:
        """The file of each module by its name; what only tests or pytest import is left out."""
        found = find_spec(self.root)
        if found is None or found.origin is None:
            return {}
        origin = Path(found.origin)
        if not found.submodule_search_locations:
            return {self.root: origin}
        names = {
            path: ".".join((self.root, *path.relative_to(origin.parent).with_suffix("").parts)) for path in origin.parent.rglob("*.py")
        }
        found_files = {name.removesuffix(".__init__"): path for path, name in sorted(names.items(), key=lambda each: each[1])}
        return {name: path for name, path in found_files.items() if name not in self._apart and not _is_for_tests(path)}

    @cached_property
    def modules(self) -> Mapping[str, ast.Module]:
        """Syntax tree by module name.

        Raises:
            Unproved: there is no file to read, such as in an archive.
        """
        if not self.files:
            raise Unproved("its source cannot be read")
        return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.files.items()}

    @property
    def loaded(self) -> Iterator[ModuleType]:
        """Those that are imported; of a package in an archive, whose files nobody can list, all of it."""
        names = self.files or [n for n in list(sys.modules) if n == self.root or n.startswith(f"{self.root}.")]
        yield from (sys.modules[name] for name in names if name in sys.modules and name not in self._apart)

    def where(self, module: str, node: ast.AST) -> str:
        """Name a place."""
        return f"{self.files[module].name}:{getattr(node, 'lineno', 1)}"

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of every module."""
        return tuple(node for tree in self.modules.values() for node in ast.walk(tree))

    def imports(self) -> Iterator[tuple[str, str]]:
        """Yield (module imported, where) of each absolute import, also of one by a name that stands there as text."""
        for name, tree in self.modules.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    yield from ((alias.name, self.where(name, node)) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    yield node.module or "", self.where(name, node)
                elif isinstance(node, ast.Call) and ast.unparse(node.func) in _IMPORTERS and node.args:
                    given = node.args[0]
                    if isinstance(given, ast.Constant) and isinstance(given.value, str):
                        yield given.value, self.where(name, node)

    def calls(self) -> Iterator[Call]:
        """Yield the calls of what was imported, and of ``hash``, which every process answers otherwise."""
        for name, tree in self.modules.items():
            known = _imported(tree)
            for node in ast.walk(tree):
                if isinstance(node, ast.Call | ast.Attribute):
                    said = ast.unparse(node.func if isinstance(node, ast.Call) else node)
                    first, dot, rest = said.partition(".")
                    if isinstance(node, ast.Call) and said == "hash":
                        yield Call(said, self.where(name, node))
                    if first in known:
                        yield Call(known[first] + dot + rest, self.where(name, node))

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name and attribute that is read somewhere."""
        read = (node for node in self.nodes if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load))
        return frozenset(node.id if isinstance(node, ast.Name) else node.attr for node in read)

    @cached_property
    def texts(self) -> frozenset[str]:
        """Every text that stands somewhere."""
        return frozenset(n.value for n in self.nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))


def _imported(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name is at home: ``{"dt": "datetime", "now": "time.time"}``."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                alias.asname or alias.name.partition(".")[0]: alias.name if alias.asname else alias.name.partition(".")[0]
                for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _is_for_tests(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(n, ast.Import) and any(a.name == "pytest" for a in n.names) for n in tree.body)


def _home(plugin: Plugin) -> str:
    """Name the package or module that offers the plugin."""
    if plugin.package:
        return plugin.package
    d = plugin.definitions
    classes = (*d.entities, *(x for _, x in d.extensions), *d.events, *d.services)
    given = [c.__module__ for c in classes if isinstance(c, EntityMeta | type)]
    given += [part.fn.__module__ for part in (*d.impls, *d.subscriptions, *d.actions, *d.jobs, *d.panels, *d.routes, *d.lifespans)]
    given += [name for name, module in list(sys.modules.items()) if vars(module).get("plugin") is plugin] if not given else []
    for name in sorted(set(given)):
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            module = sys.modules.get(".".join(parts[:end]))
            if module is not None and any(value is plugin for value in vars(module).values()):
                return module.__name__
    return given[0] if given else ""
