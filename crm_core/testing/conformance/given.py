"""What a command line names: a plugin, those beside it, the vendor's examples, and the databases that are there."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from ...errors import LoadError
from ...hooks.plugin import Plugin
from ...hooks.registry import discover
from ..databases import Databases, PostgresDatabases, SQLiteDatabases, folder_of_tests
from ..factory import Example, examples_in
from ..postgres import CannotStart, PostgresServer

EXAMPLES = Path("tests") / "conformance.py"


def plugin_named(name: str) -> Plugin:
    """Return the installed plugin of that name, or what ``package.module:name`` names.

    Raises:
        LoadError: there is none.
    """
    if ":" not in name:
        try:
            return discover([name])[0]
        except LoadError as e:
            if e.code == "plugin_not_installed":
                raise LoadError(e.code, **e.params, form="package.module:name") from None
            raise
    if "" not in sys.path:
        sys.path.insert(0, "")
    module, _, attribute = name.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, Plugin):
        raise LoadError("not_a_plugin", given=name)
    return found


def installed() -> list[Plugin]:
    """Return the other plugins that are installed; one that cannot be imported is nobody's fault here."""
    found: list[Plugin] = []
    for point in entry_points(group="crm.plugins"):
        try:
            found += discover([point.name])
        except LoadError:
            continue
    return found


def examples_at(path: str | Path | None) -> Mapping[Any, Example]:
    """Return the examples of a module, given by file or by name; by default of ``tests/conformance.py`` where there is one."""
    if path is None:
        return examples_in(_file(EXAMPLES)) if EXAMPLES.exists() else {}
    return examples_in(_file(Path(path)) if str(path).endswith(".py") else import_module(str(path)))


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_examples_{abs(hash(str(path.resolve())))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def databases_here() -> Iterator[tuple[Mapping[str, Databases], str]]:
    """Give SQLite, and PostgreSQL where it is; and why it is not, else an empty text."""
    with TemporaryDirectory(dir=folder_of_tests()) as folder:
        found: dict[str, Databases] = {"sqlite": SQLiteDatabases(Path(folder))}
        url = os.environ.get("CRM_TEST_POSTGRES")
        if url:
            with closing(PostgresDatabases(url, f"conformance_{os.getpid()}")) as databases:
                yield found | {"postgresql": databases}, ""
            return
        try:
            server = PostgresServer.start(folder=folder_of_tests())
        except CannotStart as e:
            yield found, str(e)
            return
        try:
            with closing(PostgresDatabases(server.url, "conformance")) as databases:
                yield found | {"postgresql": databases}, ""
        finally:
            server.stop()
