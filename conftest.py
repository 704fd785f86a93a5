"""The examples of README and docs run as tests, exactly as pasted, each document in an empty folder of its own."""

from __future__ import annotations

from contextlib import ExitStack, chdir
from tempfile import TemporaryDirectory
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser


def _enter_folder(namespace: dict[str, Any]) -> None:
    namespace["_folder"] = stack = ExitStack()
    stack.enter_context(chdir(stack.enter_context(TemporaryDirectory())))


def _leave_folder(namespace: dict[str, Any]) -> None:
    namespace["_folder"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/**/*.md"],
    setup=_enter_folder,
    teardown=_leave_folder,
).pytest()
