"""Each module's smoke test beside all the others; ``tox -e matrix`` runs all their tests in all combinations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.matrix import MODULES, choices

ROOT = Path(__file__).resolve().parent.parent


def smoke(module: str, beside: str) -> subprocess.CompletedProcess[str]:
    """Run a module's smoke test on SQLite beside others, in a process of its own."""
    command = [sys.executable, "-m", "pytest", f"tests/{module}/test_module.py", "-q", "-p", "no:cacheprovider", "-k", "not postgresql"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))} | {"CRM_TEST_BESIDE": beside}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)


@pytest.mark.parametrize("module", MODULES)
def test_c75_a_modules_smoke_test_passes_beside_all_others(module: str) -> None:
    done = smoke(module, ",".join(name for name in MODULES if name != module))
    assert done.returncode == 0, done.stdout[-4000:]


def test_a_module_that_cannot_be_loaded_beside_fails_the_run() -> None:
    done = smoke("sales", "nothing_like_it")
    assert done.returncode != 0
    assert "crm_nothing_like_it" in done.stdout


def test_the_matrix_is_alone_with_all_and_with_all_but_each_one() -> None:
    for module in MODULES:
        found = list(choices(module))
        assert found[0] == ()
        assert sorted(map(len, found)) == [0, 3, 3, 3, 3, 4]
        assert len(set(found)) == 6
        assert all(module not in beside for beside in found)
