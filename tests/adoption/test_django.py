"""A Django model that is an entity: Django's own test runner on both databases, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from crm_core.testing.databases import Database
from tests.web.hosts import ROOT, environment


def test_what_djangos_orm_writes_to_an_adopted_model_is_journalled(database: Database) -> None:
    command = [sys.executable, "-W", "error", "-m", "django", "test", "tests.adoption.django_cases"]
    variables = {**environment("django", database), "DJANGO_SETTINGS_MODULE": "tests.adoption.django_shop.settings"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "Ran 25 tests" in done.stderr


def test_the_command_does_not_ask_which_crm_where_the_setting_says_it(database: Database) -> None:
    variables = {**environment("django", database), "DJANGO_SETTINGS_MODULE": "tests.adoption.django_shop.settings"}
    command = [sys.executable, "-m", "django", "crm", "--help"]
    said = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=True).stdout
    options = {line.split()[0] for line in said.splitlines() if line.strip().startswith("--")}
    assert options & {"--slow", "--db", "--app"} == {"--slow"}
