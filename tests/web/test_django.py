"""Django's own test runner on the shop: its tests and ours, on both databases, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

from crm_core.testing.databases import Database, SQLiteDatabases
from tests.web.hosts import ROOT, environment

SHOP = ROOT / "examples" / "django_shop"


def run(database: Database, *command: str) -> subprocess.CompletedProcess[str]:
    python = [sys.executable, "-W", "error", "manage.py", *command]
    return subprocess.run(python, cwd=SHOP, env=environment("django", database), capture_output=True, text=True, timeout=240, check=False)


def test_the_shops_tests_and_ours_pass_in_djangos_runner(database: Database) -> None:
    done = run(database, "test", "shop", "tests.web.django_cases")
    assert done.returncode == 0, done.stderr
    assert "Ran 22 tests" in done.stderr


def test_migrate_makes_both_tables_once_and_the_command_line_works_on_them(sqlite_databases: SQLiteDatabases) -> None:
    database = sqlite_databases.create()
    for _ in range(2):
        assert run(database, "migrate").returncode == 0
    listed = run(database, "crm", "plugins")
    assert (listed.returncode, "shop" in listed.stdout) == (0, True), listed.stderr
    assert run(database, "makemigrations", "--check", "--dry-run").returncode == 0
