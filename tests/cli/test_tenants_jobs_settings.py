"""``crm tenant``, ``crm jobs`` and ``crm settings`` as people run them."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def made(crm: Run) -> None:
    assert crm("migrate").exit_code == 0


def test_a_tenant_is_made_suspended_resumed_and_dropped(crm: Run) -> None:
    assert crm("tenant", "create", "acme", "--label", "Acme GmbH", "--module", "sales").output == "The tenant acme is declared.\n"
    assert "Acme GmbH  active  sales" in crm("tenant", "list").output
    assert crm("tenant", "suspend", "acme", "--reason", "unpaid").output == "The tenant acme is suspended.\n"
    assert "suspended" in crm("tenant", "list").output
    assert "is suspended" in crm("settings", "get", "sales", "--tenant", "acme").output
    assert crm("tenant", "resume", "acme").output == "The tenant acme works again.\n"
    assert crm("tenant", "modules", "acme", "sales", "service").output == "The modules of acme are switched: sales, service.\n"
    assert crm("tenant", "modules", "acme").output == "The modules of acme are switched.\n"
    assert "Did you mean sales?" in crm("tenant", "modules", "acme", "salles").output
    assert crm("tenant", "drop", "acme").exit_code == 1
    assert "rows of acme deleted" in crm("tenant", "drop", "acme", "--yes").output
    assert "acme" not in crm("tenant", "list").output


def test_jobs_are_listed_run_and_shown(crm: Run) -> None:
    (listed,) = (line for line in crm("jobs").output.splitlines() if line.startswith("service.check_slas "))
    assert listed.split()[:8] == ["service.check_slas", "main", "*/5", "*", "*", "*", "*", "idle"]
    ran = crm("jobs", "run", "service.check_slas", "--tenant", "acme")
    assert (ran.exit_code, ran.output) == (0, "The run of service.check_slas in acme ended: done.\n")
    shown = crm("jobs", "runs", "service.check_slas").output
    assert "acme" in shown
    assert "done" in shown
    assert crm("jobs", "cancel", "nonsense").exit_code == 1
    wrong = crm("jobs", "run", "service.check")
    assert (wrong.exit_code, "service.check_slas" in wrong.output) == (1, True)


def test_jobs_and_their_runs_are_data_for_programs(crm: Run) -> None:
    crm("jobs", "run", "service.check_slas")
    listed = {job["name"]: job for job in json.loads(crm("jobs", "--json").output)}
    (run,) = json.loads(crm("jobs", "runs", "--json").output)
    assert (run["job"], run["tenant"], run["state"], run["attempt"]) == ("service.check_slas", "main", "done", 1)
    assert (listed["service.check_slas"]["run"], datetime.fromisoformat(run["started_at"]).tzinfo is not None) == (run["id"], True)


def test_settings_are_read_changed_and_reset_by_tenant(crm: Run) -> None:
    assert crm("settings", "get", "core").output == 'timezone="UTC"\nkeep={}\n'
    done = crm("settings", "set", "core", "timezone=Asia/Shanghai", "--tenant", "acme")
    assert done.output == "The settings of core in acme are changed.\n"
    assert crm("settings", "get", "core", "timezone", "--tenant", "acme").output == 'timezone="Asia/Shanghai"\n'
    assert crm("settings", "get", "core").output == 'timezone="UTC"\nkeep={}\n'
    wrong = crm("settings", "set", "core", "timezone=Atlantis")
    assert (wrong.exit_code, "timezone" in wrong.output, "Atlantis" in wrong.output) == (1, True, False)
    assert crm("settings", "unset", "core", "timezone", "--tenant", "acme").exit_code == 0
    assert crm("settings", "get", "core", "--tenant", "acme").output == 'timezone="UTC"\nkeep={}\n'
    for arguments in (["get", "core", "zone"], ["set", "core", "timezone"], ["get", "nobody"], ["unset", "core", "zone"]):
        assert crm("settings", *arguments).exit_code == 1
