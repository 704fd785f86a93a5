"""Installed plugins that need a port, on a database that the command line opens by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

MODULE = """
import attrs
from crm_core import Plugin, Secret, Session
from crm_core.ports import Http


@attrs.frozen
class Settings:
    token: Secret | None = None


plugin = Plugin("acme", version="1.0.0", settings=Settings)
plugin.ports(Http)


@plugin.job(every="0 3 * * *")
def call(s: Session) -> None:
    s.port(Http).request("GET", "https://example.org")
"""

APP = """
from acme_packages import plugin
from crm_core import CRM
from crm_core.ports import Answer, MemoryHttp

crm = CRM("sqlite:///acme.db", plugins=[plugin], ports=[MemoryHttp(Answer(200, {}, b""))])
"""


@pytest.fixture(autouse=True)
def packages(installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    site = tmp_path / "site"
    (site / "some_vendor-1.0.dist-info" / "entry_points.txt").write_text("[crm.plugins]\nacme = acme_packages:plugin\n")
    (site / "acme_packages.py").write_text(MODULE)
    (folder / "acme_app.py").write_text(APP)
    for name in ("acme_packages", "acme_app"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize(
    "command", [["plugins", "install", "acme", "--plan"], ["migrate", "--plan"], ["migrate"], ["plugins"], ["plugins", "install", "acme"]]
)
def test_a_database_is_looked_after_without_the_ports_that_plugins_need(crm: Run, command: list[str]) -> None:
    result = crm("--db", "crm.db", *command)
    assert result.exit_code == 0, result.output


def test_the_doctor_and_a_drill_need_no_ports_either(crm: Run) -> None:
    for n, options in enumerate((["--db", "crm.db"], ["--app", "acme_app:crm"])):
        crm(*options, "migrate")
        assert "port" not in crm(*options, "doctor").output
        assert crm(*options, "backup", "create", f"{n}.zip", "--plain").exit_code == 0
        drilled = crm(*options, "backup", "drill", f"{n}.zip")
        assert drilled.exit_code == 0, drilled.output


@pytest.mark.parametrize("command", [["worker", "--once"], ["jobs", "run", "acme.call"]])
def test_what_runs_the_plugins_work_asks_for_the_application_that_has_the_ports(crm: Run, command: list[str]) -> None:
    crm("--db", "crm.db", "migrate")
    refused = crm("--db", "crm.db", *command)
    assert (refused.exit_code, "name your application, which has it: --app MODULE:NAME." in refused.output) == (1, True)
    crm("--app", "acme_app:crm", "migrate")
    assert crm("--app", "acme_app:crm", *command).exit_code == 0


def test_a_secret_is_set_by_its_reference_without_the_ports(crm: Run) -> None:
    crm("--db", "crm.db", "migrate")
    assert crm("--db", "crm.db", "settings", "set", "acme", 'token={"secret": "env:ACME_TOKEN"}').exit_code == 0
    assert crm("--db", "crm.db", "settings", "get", "acme").output == 'token={"secret": "env:ACME_TOKEN"}\n'
