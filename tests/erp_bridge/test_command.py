"""``crm erp``: the runs of a bridge as people and jobs start them."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import click.testing
import pytest

from crm_core import CRM, Account, Money
from crm_core.messages import Messages
from crm_erp_bridge import plugin
from crm_erp_bridge.api import AuthFailed, Bridge, CheckResult, FolderDrop, Lease, Order, Parked, RunKind, Throttled, Unavailable
from crm_erp_bridge.api import Run as Run_
from tests.erp_bridge.conftest import SYSTEM, Desk, customer, order

Run = Callable[..., click.testing.Result]


@pytest.fixture
def run_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[CRM], Run]:
    """Give what runs ``crm --app host:crm erp`` with arguments, on a CRM."""
    folder = tmp_path / "site" / "some_vendor-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: some-vendor\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[crm.commands]\nerp = crm_erp_bridge.command:erp\n")
    monkeypatch.syspath_prepend(folder.parent)
    importlib.invalidate_caches()
    host = ModuleType("host_of_the_desk")
    monkeypatch.setitem(sys.modules, "host_of_the_desk", host)
    from crm_core.cli.app import app

    def called(*arguments: str, lang: str = "en") -> click.testing.Result:
        given = ["--app", "host_of_the_desk:crm", "--lang", lang, "erp", *arguments]
        return click.testing.CliRunner().invoke(app, given, prog_name="crm")

    def on(crm: CRM) -> Run:
        host.crm = crm  # type: ignore[attr-defined]  # what a host's module has
        return called

    return on


@pytest.fixture
def run(desk: Desk, run_on: Callable[[CRM], Run]) -> Run:
    """Run it on the desk's CRM."""
    return run_on(desk.crm)


def test_c63_plan_pull_and_reconcile_from_the_command_line(desk: Desk, run: Run) -> None:
    desk.drop("customer-1.json", customer("C1", branch="Steel"))
    desk.drop("order-1.json", order("O1"))
    planned = run("plan", "files")
    assert "customer.create  1" in planned.output
    assert "industry: null -> Steel" in planned.output
    assert run("pull", "files").output == "customer.create  1\norder.create  1\n"
    assert run("pull", "files").output == "nothing to do\n"
    assert run("pull", "files", lang="zh").output == "没有要做的事\n"
    clean = run("reconcile", "files")
    assert (clean.exit_code, "order  there 1, here 1, clean" in clean.output) == (0, True)
    with desk.crm.session(SYSTEM) as s:
        s.update(Order, s.query(Order).one().id, {"total": Money("99.99", "EUR")})
    found = run("reconcile", "files")
    assert (found.exit_code, "total 2026-01 EUR  there 100.00, here 99.99, difference 0.01" in found.output) == (1, True)


def test_c63_dead_letters_from_the_command_line_in_the_readers_language(desk: Desk, run: Run) -> None:
    desk.drop("order-1.json", order("O1", "C9"), order("O2", "C9"))
    run("pull", "files")
    listed = run("dead", "files", lang="zh").output.splitlines()
    assert [line.split("  ", 1)[1] for line in listed] == [f"order  {n}  等待中  正在等待尚未到达的 customer C9。" for n in ("O1", "O2")]
    one, two = (line.split()[0] for line in listed)
    assert run("discard", "files", one, "--reason", "a test").exit_code == 0
    assert run("replay", "files", two).exit_code == 0
    assert [line.split()[0] for line in run("dead", "files").output.splitlines()] == [two]
    desk.drop("customer-1.json", customer("C1", email="no address"))
    run("pull", "files")
    said = "customer  C1  Dead letter  emails (in the ERP email): This is not an e-mail address. It should look like name@example.com."
    assert said in run("dead", "files").output
    failed = run("replay", "files", one)
    assert (failed.exit_code, failed.output) == (1, "Error: This is no dead letter any more: it is on its way, done or discarded.\n")


def test_c63_which_one_it_is_is_said_from_the_command_line(desk: Desk, run: Run) -> None:
    with desk.crm.session(SYSTEM) as s:
        ours = s.create(Account(name="Acme", external_ref="K-1"))
    desk.drop("customer-1.json", customer("C1", name="Acme", number="K-1"))
    run("pull", "files")
    desk.drop("customer-2.json", customer("C2", number="K-1"))
    assert run("pull", "files").output == "customer.conflict  1\n"
    letter = run("dead", "files").output.split()[0]
    assert "bound to each other already" in run("bind", "files", letter, ours.id).output
    with desk.crm.session(SYSTEM) as s:
        other = s.create(Account(name="Acme 2"))
        s.update(Account, ours.id, {"external_ref": None})
    assert run("bind", "files", letter, other.id).output.startswith(f"{letter}  Conflict  Both sides changed")
    assert "Both sides changed" in run("dead", "files").output, "they are one now, and differ in what a person decides"
    assert run("replay", "files", letter).exit_code == 0
    assert run("dead", "files").output == ""
    assert "no dead letter nobody" in run("bind", "files", "nobody", other.id).output


class Busy(FolderDrop):
    """Is asked too often once it was asked for customers."""

    def read(self, entity: str, *given: Any) -> Any:
        if entity != "customer":
            raise Throttled(timedelta(minutes=1))
        return super().read(entity, *given)


def test_c63_what_a_throttled_pull_took_in_is_told(desk: Desk, make_crm: Callable[..., CRM], run_on: Callable[[CRM], Run]) -> None:
    bridge = Bridge("files", Busy, mapping=desk.root / "erp.toml", settings=desk.settings)
    run = run_on(make_crm(plugins=[plugin.configured(bridges=[bridge])]))
    desk.drop("customer-1.json", customer("C1"))
    told = run("pull", "files")
    assert (told.exit_code, told.output) == (1, "customer.create  1\nError: The ERP asks to come back in 60 seconds.\n")


def test_c63_status_tells_runs_letters_the_queue_and_who_holds_a_bridge(desk: Desk, run: Run) -> None:
    assert run("status").output == "files  main\n  no run yet\n  dead letters: 0, queued writes: 0\n"
    desk.drop("customer-1.json", customer("C1"))
    desk.sync.pull()
    well = run("status", "files")
    assert (well.exit_code, "  Pull: ended well at 2026-" in well.output) == (0, True)
    desk.drop("order-1.json", order("O1", "C9"))
    desk.sync.pull()
    with desk.crm.session(SYSTEM) as s:
        (acme,) = desk.accounts()
        s.update(type(acme), acme.id, {"website": "https://acme.example"})
        s.upsert(Lease(bridge="files", holder="a run that died", until=desk.clock.now() + timedelta(minutes=5)), on="bridge")
    desk.crm.run_pending()
    told = run("status", "files")
    assert (told.exit_code, "dead letters: 1, queued writes: 1\n  the oldest of them has been queued since 2026-" in told.output) == (
        1,
        True,
    )
    assert "Another run of the bridge files is at work, until 2026-" in told.output
    (found,) = json.loads(run("status", "--json").output)
    assert (found["tenant"], found["bridge"], found["well"], found["dead"], found["queued"]) == ("main", "files", False, 1, 1)
    assert (found["runs"]["pull"]["ok"], found["leased_until"][:5]) == (True, "2026-")
    desk.later(minutes=6)
    assert json.loads(run("status", "--json").output)[0]["leased_until"] is None, "what ran out is nobody's"
    assert "no bridge flies" in run("status", "flies").output


def test_c63_a_run_that_failed_is_told_with_its_reason(desk: Desk, run: Run) -> None:
    with desk.crm.session(SYSTEM) as s:
        s.create(Run_(bridge="files", kind=RunKind.PULL, ended_at=desk.clock.now(), ok=False, error="erp_bridge.auth_failed"))
    told = run("status", "files")
    assert (told.exit_code, "FAILED: The ERP does not let us in" in told.output) == (1, True)
    assert "失败：ERP 拒绝登录" in run("status", "files", lang="zh").output


def test_c63_a_run_is_kept_with_its_code_alone_and_told_without_gaps() -> None:
    stops = [
        "bad_file",
        "throttled",
        "breaker_open",
        "cursor_stuck",
        "due_stuck",
        "not_offered",
        "unavailable",
        "schema_changed",
        "cursor_expired",
    ]
    words = Messages(plugin.definitions.catalogues)
    said = [words.text(f"erp_bridge.{code}", {}, lang) for code in stops for lang in ("en", "zh")]
    assert [each for each in said if "?" in each] == []


def test_c63_dead_letters_and_a_reconciliation_are_there_as_json(desk: Desk, run: Run) -> None:
    desk.drop("order-1.json", order("O1", "C9"))
    run("pull", "files")
    (letter,) = json.loads(run("dead", "files", "--json").output)
    assert (letter["stream"], letter["record"], letter["direction"], letter["state"]) == ("order", "O1", "in", "waiting")
    assert (letter["error"]["code"], letter["says"]) == ("erp_bridge.parent_missing", "It waits for customer C9, which is not here yet.")
    found = run("reconcile", "files", "--json")
    streams = {s["stream"]: s for s in json.loads(found.output)["streams"]}
    assert (found.exit_code, streams["order"]["clean"], streams["order"]["dead"], streams["customer"]["clean"]) == (1, False, 1, True)


def test_c63_a_letter_names_the_erps_field_beside_ours_and_says_all_in_words(desk: Desk, run: Run) -> None:
    desk.drop("customer-1.json", customer("C1"))
    desk.drop("order-1.json", order("O1", date="7 October"))
    run("pull", "files")
    said = "ordered_on: a value of type str cannot be read, in the ERP date: expected a date like 2026-03-02."
    assert run("dead", "files").output.strip().endswith(f"  {said}")
    with desk.crm.session(SYSTEM) as s:
        letter = s.query(Parked).one()
        taken = {"field": "number", "code": "not_unique", "params": {}}
        s.update(Parked, letter.id, {"error": {"code": "not_unique", "params": {"field": "number"}, "fields": [taken]}})
    assert run("dead", "files").output.strip().endswith("  number (in the ERP no): Another record has this value already.")
    chinese = run("dead", "files", lang="zh").output
    assert ("number（ERP 字段 no）" in chinese, "not_unique" in chinese) == (True, False)


def test_c63_what_a_connector_says_as_text_is_shown_as_the_reason(desk: Desk, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Locked(FolderDrop):
        def check(self) -> CheckResult:
            raise AuthFailed("the token ran out")

    monkeypatch.setattr("crm_erp_bridge.bridge.Bridge.connect", lambda self: Locked(desk.settings))
    failed = run("pull", "files")
    said = "The ERP does not let us in (the token ran out). Check the user, its rights and its key."
    assert (failed.exit_code, said in failed.output) == (1, True)
    for error in (AuthFailed(reason="x y"), AuthFailed("x y"), Unavailable("x y"), pickle.loads(pickle.dumps(Unavailable("x y")))):
        assert (error.code, error.params) == (type(error).default_code, {"reason": "x y"})
    assert Unavailable("acme.closed").code == "acme.closed", "a code of the connector's own stays one"


def test_c63_replay_and_discard_say_what_became_of_the_letter(desk: Desk, run: Run) -> None:
    desk.drop("order-1.json", order("O1", "C9"))
    run("pull", "files")
    (letter,) = (line.split()[0] for line in run("dead", "files").output.splitlines())
    assert run("replay", "files", letter).output == f"{letter}  Waiting  It waits for customer C9, which is not here yet.\n"
    assert run("discard", "files", letter, "--reason", "a test").output == f"{letter}  Discarded\n"


def test_c63_a_push_from_the_command_line_and_an_unknown_bridge(desk: Desk, run: Run) -> None:
    assert run("push", "files").output == "nothing to do\n"
    failed = run("push", "flies")
    assert (failed.exit_code, failed.output) == (1, "Error: There is no bridge flies. There are: files.\n")
    assert "no dead letter nobody" in run("replay", "files", "nobody").output


def test_without_a_tenant_letters_are_those_of_the_bridge_s_first_scope(
    desk: Desk, make_crm: Callable[..., CRM], run_on: Callable[[CRM], Run]
) -> None:
    mapping, scopes = desk.root / "erp.toml", {"100": "cn-head", "101": "cn-east"}
    bridges = [Bridge(name, FolderDrop, mapping=mapping, scopes=scopes, settings=desk.settings) for name in ("a", "b")]
    run = run_on(make_crm(plugins=[plugin.configured(bridges=bridges)]))
    desk.drop("order-1.json", order("O1", "C9"), scope="100")
    assert run("pull", "a").exit_code == 0
    (letter,) = (line.split()[0] for line in run("dead", "a").output.splitlines())
    assert run("dead", "a", "--tenant", "cn-east").output == ""
    assert "no dead letter" in run("discard", "b", letter, "--reason", "of another bridge").output
    assert "no dead letter" in run("replay", "a", letter, "--tenant", "cn-east").output
    assert run("replay", "a", letter).exit_code == 0
    assert run("discard", "a", letter, "--reason", "a test").exit_code == 0
    assert run("dead", "a").output == ""
