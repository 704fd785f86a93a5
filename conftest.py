"""The examples of README and docs, run as tests exactly as pasted, each document in an empty folder of its own; what coverage counts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, chdir
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it ships no types

import crm_core


def _enter_folder(namespace: dict[str, Any]) -> None:
    namespace["__name__"] = "__main__"  # as of a script: what a page defines has a module
    namespace["_folder"] = stack = ExitStack()
    stack.enter_context(chdir(stack.enter_context(TemporaryDirectory())))


def _leave_folder(namespace: dict[str, Any]) -> None:
    namespace["_folder"].close()


pytest_plugins = ["crm_core.testing.plugin"]

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/**/*.md"],
    excludes=["docs/**/zh/*.md"],  # the same programs, as tests/docs/test_translations.py proves
    setup=_enter_folder,
    teardown=_leave_folder,
).pytest()


class DocumentScheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist's schedulers are not typed
    """Keep a document's examples on one worker: each builds on those above it. Every other test goes where there is room."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if path.endswith(".md") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> DocumentScheduling:
    return DocumentScheduling(config, log)


# The core is covered by its own tests, on SQLite; under the tracer a test takes half as long again. What stands on the core, what
# attacks it, and PostgreSQL's turn are told by whether they pass.
_UNCOVERED = frozenset(
    {"analytics", "attacks", "bench", "demo", "erp_bridge", "examples", "faults", "laws", "marketing", "rogue", "sales", "service"}
)


# They need Django's settings, or are pytest's own.
_APART = re.compile(r"\.django|\.conformance\.(conftest|test_)")


def _tracer(config: pytest.Config) -> Any:
    return getattr(config.pluginmanager.getplugin("_cov"), "cov_controller", None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Under the tracer, import all of the core: its definitions count, whichever test would come to them first."""
    if _tracer(session.config) is not None:
        for found in walk_packages(crm_core.__path__, "crm_core."):
            if not _APART.search(found.name):
                import_module(found.name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Take tests that coverage does not count, with their fixtures, from under its tracer."""
    coverage = _tracer(item.config)
    place = Path(os.path.relpath(item.path, item.config.rootpath))  # a run from elsewhere may try what is here
    covered = place.suffix != ".md" and not _UNCOVERED.intersection(place.parts) and "[postgresql" not in item.name
    if coverage is None or covered:
        return (yield)
    coverage.pause()
    try:
        return (yield)
    finally:
        coverage.resume()
