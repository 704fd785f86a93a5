"""The page of the laws names the tests that try to break them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "laws.md"


def test_every_test_of_a_law_is_listed_and_every_listed_test_is_there() -> None:
    listed = {(PAGE.parent / path).resolve() for path in re.findall(r"\]\((\.\./\.\./tests/[^)]+)\)", PAGE.read_text(encoding="utf-8"))}
    assert {path for path in listed if not path.exists()} == set()
    assert {*(ROOT / "tests" / "laws").glob("test_*.py")} <= listed
