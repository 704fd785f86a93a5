"""``crm plugins install|upgrade|disable|enable|uninstall``, as an operator runs them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from crm_core import CRM, Account
from tests.cli.conftest import Run
from tests.lifecycle.club import Member, club, system

MODULE = """
import click
from tests.lifecycle.club import club, visits

club_plugin, visits_plugin = club([]), visits()


@click.command()
@click.pass_obj
def command(shell):
    click.echo(", ".join(p.name for p in shell.open().plugins.list() if p.name in ("club", "visits")))
"""


HOST = """
import club_packages
from crm_core import CRM

crm = CRM("sqlite:///host.db", plugins=[club_packages.club_plugin])
"""


@pytest.fixture(autouse=True)
def packages(installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the packages of the club, with a command, and of what requires it; return where they are said to be installed."""
    points = tmp_path / "site" / "some_vendor-1.0.dist-info" / "entry_points.txt"
    points.write_text(
        "[crm.plugins]\nclub = club_packages:club_plugin\nvisits = club_packages:visits_plugin\n"
        "[crm.commands]\nclub = club_packages:command\n"
    )
    (points.parent.parent / "club_packages.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, "club_packages", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return points


def test_the_life_of_a_plugin_from_the_command_line(crm: Run, folder: Path, packages: Path) -> None:
    plan = crm("plugins", "install", "club", "--plan").output
    assert "create table crm_club_member" in plan
    assert "permission club.award" in plan
    assert crm("plugins", "install", "club").output == "club 1.0 is installed.\n"
    assert crm("plugins", "upgrade", "club").output == "club 1.0 is there already.\n"
    one = CRM("sqlite:///crm.db", plugins=[club([])])
    with one.session(system()) as s:
        s.create(Member(account=s.create(Account(name="A")).ref, number="1"))
    one.close()

    refused = crm("plugins", "disable", "club")
    assert (refused.exit_code, "required by visits" in refused.output) == (1, True)
    kept, ended = (crm("plugins", "disable", "club", "--plan", *more).output.splitlines() for more in ([], ["--end-checks"]))
    veto = "veto club.no_debts (check_write account)"
    assert {f"stays: {veto}", "stays: rule club.ours: read account", "ends: job club.hourly"} <= {*kept}
    assert set(ended) - set(kept) == {f"ends: {veto}"}
    assert "Disabled: club, visits." in crm("plugins", "disable", "club", "--with-dependents", "--reason", "broken").output
    assert "club is so already." in crm("plugins", "disable", "club").output
    crm("plugins", "disable", "club", "--end-checks")
    assert "It is disabled with its checks on others' records since" in crm("--db", "crm.db", "plugins").output
    crm("plugins", "disable", "club")
    assert "It is disabled since" in crm("--db", "crm.db", "plugins").output
    doctor = crm("--db", "crm.db", "doctor", "--json")
    findings = json.loads(doctor.output[doctor.output.index("{") :])["findings"]
    assert (doctor.exit_code, [f["plugin"] for f in findings if f["code"] == "doctor_disabled"]) == (4, ["club", "visits"])
    assert "已停用" in crm("--lang", "zh", "plugins", "enable", "visits").output + crm("--db", "crm.db", "--lang", "zh", "plugins").output
    off = crm("club")
    assert (off.exit_code, "The plugin club is disabled" in off.output) == (1, True)
    assert "Enabled: club, visits." in crm("plugins", "enable", "club", "--with-dependents").output
    assert crm("club").output == "club, visits\n"

    assert "--keep-data or --drop-data" in crm("plugins", "uninstall", "club").output
    assert crm("plugins", "uninstall", "visits", "--drop-data", "--yes").exit_code == 0
    packages.write_text("[crm.plugins]\n")  # pip uninstall
    asked = crm("plugins", "uninstall", "club", "--drop-data")
    assert (asked.exit_code, "This deletes all data of club for good: 1 rows. Add --yes" in asked.output) == (1, True)
    assert "crm_club_member: 1 rows" in crm("plugins", "uninstall", "club", "--plan").output
    assert "Kept: 3 tables, 1 rows" in crm("plugins", "uninstall", "club", "--keep-data").output
    assert "It is uninstalled since" in crm("--db", "crm.db", "plugins").output
    assert "Data of club without its code here" in crm("--db", "crm.db", "doctor").output
    assert "Deleted: 3 tables, 1 rows" in crm("plugins", "uninstall", "club", "--drop-data", "--yes").output
    gone = crm("plugins", "uninstall", "club", "--drop-data", "--yes")
    assert (gone.exit_code, "knows no plugin club" in gone.output) == (1, True)


@pytest.mark.parametrize("verb", ["disable", "enable", "uninstall"])
def test_no_database_is_made_of_a_name_that_was_mistyped(crm: Run, folder: Path, verb: str) -> None:
    options = ["--keep-data"] if verb == "uninstall" else []
    result = crm("plugins", verb, "club", *options, "--db", "shpo.db")
    assert result.exit_code == 1
    assert not (folder / "shpo.db").exists()


def test_a_plugins_command_takes_the_application_before_and_after_its_name(crm: Run, folder: Path, packages: Path) -> None:
    (folder / "club_host.py").write_text(HOST)
    assert crm("migrate", "--app", "club_host:crm").exit_code == 0
    assert crm("club", "--app", "club_host:crm").output == crm("--app", "club_host:crm", "club").output == "club\n"
    assert not (folder / "crm.db").exists()
