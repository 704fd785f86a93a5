"""What the tests keep to themselves: each asserts something that its reader sees, and no function outgrows a screen."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ALL = sorted(path for room in ("crm_core", "crm_demo", "plugins", "tests", "tools") for path in (ROOT / room).rglob("*.py"))
# A helper's name says that it asserts; pytest's own do.
ASSERTS = re.compile(r"_?(assert|check)|raises$|warns$|fail$")


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return bool(ASSERTS.match(ast.unparse(node.func).rpartition(".")[2]))
    return isinstance(node, ast.Assert)


def _blind(source: str) -> list[str]:
    """Return the tests of a file in which nothing is seen to be asserted; a fixture may have such a name and be none."""
    tests = [node for node in _functions(ast.parse(source)) if node.name.startswith("test_")]
    tests = [node for node in tests if not any("fixture" in ast.unparse(each) for each in node.decorator_list)]
    return [node.name for node in tests if not any(map(_asserts, ast.walk(node)))]


def test_every_test_asserts_something_that_a_reader_sees() -> None:
    found = {path.relative_to(ROOT).as_posix(): _blind(path.read_text(encoding="utf-8")) for path in TESTS}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("body", "blind"),
    [
        ("crm.migrate()", True),
        ("report(crm)", True),
        ("assert crm", False),
        ("assert_sound(crm)", False),
        ("with pytest.raises(Invalid): crm.migrate()", False),
    ],
)
def test_the_check_of_tests_sees_one_that_asserts_nothing(body: str, blind: bool) -> None:
    assert bool(_blind(f"def test_it(crm):\n    {body}\n")) is blind


def test_a_function_fits_one_screen() -> None:
    lengths = {
        f"{path.relative_to(ROOT).as_posix()}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in ALL
        for node in _functions(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {name: lines for name, lines in lengths.items() if lines > 80} == {}
