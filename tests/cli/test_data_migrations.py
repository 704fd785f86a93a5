"""``crm migrate`` on an application whose plugin brings its rows along."""

from __future__ import annotations

from pathlib import Path

from crm_core import CRM, Actor
from tests.cli.conftest import Run
from tests.jobs.loyalty import ROWS, old

APP = """
from crm_core import CRM
from tests.jobs.loyalty import new

def broken():
    return CRM("sqlite:///shop.db", plugins=[new([], fail_at=4)[0]])

def shop():
    return CRM("sqlite:///shop.db", plugins=[new([])[0]])
"""


def test_crm_migrate_says_which_rows_wait_brings_them_along_and_goes_on_after_a_failure(folder: Path, crm: Run) -> None:
    (folder / "shop_app.py").write_text(APP)
    plugin, member, _ = old()
    before = CRM("sqlite:///shop.db", plugins=[plugin])
    before.migrate()
    with before.session(Actor.system("test", tenant="main")) as s:
        s.create_many([member(name=f"First{n} Last{n}") for n in range(ROWS)])
    before.close()

    failed = crm("--app", "shop_app:broken", "migrate")
    assert failed.exit_code == 1
    assert "loyalty.split_names in main: the rows of before 2.0.0 wait.\n" in failed.output
    assert "The data migration loyalty.split_names failed in main: ValueError: cannot be split." in failed.output
    planned = crm("--app", "shop_app:shop", "migrate", "--plan")
    assert planned.output == "loyalty.split_names in main: the rows of before 2.0.0 wait; 3 are done.\n"
    done = crm("--app", "shop_app:shop", "migrate")
    assert "loyalty.split_names in main: 6 of 10 done.\n" in done.output
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "1 data migrations done.")
    assert "done" in crm("--app", "shop_app:shop", "jobs").output
    assert "10/10" in crm("--app", "shop_app:shop", "jobs", "runs").output


def test_a_new_database_has_no_rows_to_speak_of(folder: Path, crm: Run) -> None:
    (folder / "shop_app.py").write_text(APP)
    done = crm("--app", "shop_app:shop", "migrate")
    assert done.exit_code == 0
    assert not any("loyalty.split_names" in line or "data migrations" in line for line in done.output.splitlines())
    assert crm("--app", "shop_app:shop", "migrate").output == "The schema is up to date (0 steps).\n"
