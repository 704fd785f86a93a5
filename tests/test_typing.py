"""Type checkers report exactly what the comments in ``typing_tests/`` and ``examples/`` expect.

A line that must not type-check ends in ``# E: `` and the codes it must give, mypy's and pyright's: ``# E: arg-type, reportArgumentType``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*(ROOT / "typing_tests").glob("*.py"), *(ROOT / "examples").rglob("*.py")])
_MARK = re.compile(r"#\s*E:\s*([\w-]+(?:\s*,\s*[\w-]+)*)\s*$")
Finding = tuple[str, int, str]


def _expected(*, pyright: bool) -> set[Finding]:
    found = set()
    for path in FILES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            mark = _MARK.search(line)
            codes = re.split(r"\s*,\s*", mark.group(1)) if mark else []
            found |= {(path.relative_to(ROOT).as_posix(), number, code) for code in codes if code.startswith("report") == pyright}
    return found


def _run(*command: str) -> str:
    files = [str(path.relative_to(ROOT)) for path in FILES]
    return subprocess.run([sys.executable, "-m", *command, *files], cwd=ROOT, capture_output=True, text=True, check=False).stdout


def _mypy() -> Iterable[Finding]:
    for line in _run("mypy", "--strict", "--output", "json").splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            yield error["file"], error["line"], error["code"]


def _pyright() -> Iterable[Finding]:
    for error in json.loads(_run("pyright", "--outputjson", "--pythonpath", sys.executable))["generalDiagnostics"]:
        if error["severity"] == "error":
            path = Path(error["file"]).resolve().relative_to(ROOT).as_posix()
            yield path, error["range"]["start"]["line"] + 1, error.get("rule", "reportSyntax")


@pytest.mark.parametrize("checker", [_mypy, _pyright], ids=["mypy", "pyright"])
def test_a_checker_reports_what_the_comments_expect_and_nothing_else(checker: object) -> None:
    found = set(_pyright() if checker is _pyright else _mypy())
    expected = _expected(pyright=checker is _pyright)
    assert expected, "no line is marked: the checkers could be blind"
    assert {"missing": sorted(expected - found), "surplus": sorted(found - expected)} == {"missing": [], "surplus": []}


def test_only_files_of_errors_are_marked() -> None:
    marked = {Path(path).name for path, _, _ in _expected(pyright=False) | _expected(pyright=True)}
    assert marked == {path.name for path in FILES if path.name.startswith("errors_")}
