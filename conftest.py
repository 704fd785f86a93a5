"""The examples of README and docs, run as tests exactly as pasted, each document in an empty folder of its own; what coverage counts."""

from __future__ import annotations

import os
import re
import sys
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


# The processes that tests start, many hundreds, read what one of them compiled; some machines' Python is told to write none of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = ["crm_core.testing.plugin"]

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/**/*.md"],
    excludes=["docs/**/zh/*.md"],  # the same programs, as tests/docs/test_translations.py proves
    setup=_enter_folder,
    teardown=_leave_folder,
).pytest()


# Files whose tests take longest, the longest first: a worker that begins with them is not still at one when the other has done all.
_LONG = [
    "tests/faults/test_soak.py",
    "tests/web/test_django.py",
    "tests/permissions/test_noninterference.py",
    "tests/permissions/test_readings.py",
    "tests/marketing/test_data.py",
    "tests/demo/test_story.py",
    "tests/io/test_maven.py",
    "tests/conformance/test_modules.py",
    "tests/demo/test_resume.py",
    "tests/web/test_shops.py",
    "tests/attacks/test_every_call.py",
    "tests/docs/test_vendor.py",
    "tests/io/test_chinese.py",
    "tests/erp_bridge/test_cdnow.py",
]


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist's schedulers are not typed
    """Keep a file on one worker: a document's examples build on those above them, and a file's tests share what its fixtures prepared.

    The long files go first, then those with most tests.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: Any) -> None:
        first = next((path for path in _LONG if path in self.workqueue), None)
        if first is not None:
            self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    return FileScheduling(config, log)


# The core is covered by its own tests, on SQLite; under the tracer a test takes half as long again, and one that walks through our source
# four times as long. What stands on the core, what attacks it, what reads it, and PostgreSQL's turn are told by whether they pass; and
# the long files go the ways of others, more often.
_UNCOVERED = frozenset(
    {
        *("analytics", "attacks", "bench", "demo", "docs", "erp_bridge", "examples", "faults"),
        *("laws", "marketing", "rogue", "sales", "service"),
        *("test_architecture.py", "test_public_names.py", "test_suite.py", "test_typing.py"),
    }
)


# They need Django's settings, or are pytest's own.
_APART = re.compile(r"\.django|\.conformance\.(conftest|test_)")


def _tracer(config: pytest.Config) -> Any:
    return getattr(config.pluginmanager.getplugin("_cov"), "cov_controller", None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Under the tracer, import all of the core: its definitions count, whichever test would come to them first. Collect without it."""
    coverage = _tracer(session.config)
    if coverage is None:
        return (yield)
    for found in walk_packages(crm_core.__path__, "crm_core."):
        if not _APART.search(found.name):
            import_module(found.name)
    coverage.pause()
    try:
        return (yield)
    finally:
        coverage.resume()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Take tests that coverage does not count, with their fixtures, from under its tracer."""
    coverage = _tracer(item.config)
    place = Path(os.path.relpath(item.path, item.config.rootpath))  # a run from elsewhere may try what is here
    ours = place.suffix != ".md" and not _UNCOVERED.intersection(place.parts) and place.as_posix() not in _LONG
    covered = ours and "[postgresql" not in item.name
    if coverage is None or covered:
        return (yield)
    coverage.pause()
    try:
        return (yield)
    finally:
        coverage.resume()
