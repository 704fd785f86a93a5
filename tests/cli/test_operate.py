"""``crm doctor``, ``crm hooks``, ``crm events`` and ``--slow``: what runs, and how it is."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from crm_core import CRM, Account, Actor
from crm_core.hooks.registry import discover
from tests.cli.conftest import Run


def test_the_doctor_says_how_all_is_and_its_exit_code_says_it_again(crm: Run) -> None:
    assert crm("migrate").exit_code == 0
    result = crm("doctor")
    assert result.exit_code in (0, 4)  # an old SQLite is worth a warning
    assert "schema" in result.output
    found = json.loads(crm("doctor", "--json").stdout)
    assert found["level"] == ("ok" if result.exit_code == 0 else "warning")
    assert {f["check"] for f in found["findings"]} >= {"database", "schema", "events", "parked", "keys", "clock", "plugins"}
    assert all(f["says"] and f["code"] for f in found["findings"])


def test_the_doctor_ends_with_5_where_something_is_wrong(crm: Run, folder: Path) -> None:
    (folder / "crm.db").touch()
    result = crm("doctor")
    assert result.exit_code == 5
    assert "error" in result.output


def test_the_doctor_makes_no_database_of_a_mistyped_name(crm: Run, folder: Path) -> None:
    result = crm("--db", "tpyo.db", "doctor")
    assert (result.exit_code, list(folder.iterdir())) == (1, [])


def test_an_upgrade_is_asked_for_before_it_is_made(crm: Run) -> None:
    crm("migrate")
    result = crm("doctor", "--against", "sales=99.0")
    assert result.exit_code == 5
    assert "service" in result.output or "marketing" in result.output
    assert crm("doctor", "--against", "sales").exit_code == 1


def test_hooks_are_listed_with_who_implements_them_in_order(crm: Run) -> None:
    crm("migrate")
    listed = crm("hooks").output.splitlines()
    assert "before_write  v1  filter  per batch  by entity" in listed
    one = crm("hooks", "before_write").output.splitlines()
    assert [line for line in one if not line.startswith("  ")] == ["before_write  v1  filter  per batch  by entity"]
    assert any(line.startswith("  sales.") for line in one)
    wrong = crm("hooks", "befor_write")
    assert (wrong.exit_code, "before_write" in wrong.output) == (1, True)


@pytest.mark.parametrize("command", [["hooks"], ["hooks", "before_write"], ["events"], ["plugins", "order", "before_write"]], ids=" ".join)
def test_what_the_code_says_needs_no_database(crm: Run, folder: Path, command: list[str]) -> None:
    result = crm(*command)
    assert (result.exit_code, "sales." in result.output, list(folder.iterdir())) == (0, True, [])
    (folder / "crm.db").write_text("this is no database")
    assert crm(*command).output == result.output
    mistyped = crm("--db", "tpyo.db", *command)
    assert (mistyped.exit_code, "tpyo.db" in mistyped.output) == (1, True)


def test_events_are_listed_with_their_versions_and_who_hears_them(crm: Run) -> None:
    crm("migrate")
    listed = crm("events").output
    assert "sales.opportunity_won.v1" in listed


def test_the_history_of_a_record_is_told_page_by_page(crm: Run) -> None:
    crm("migrate")
    opened = CRM("sqlite:///crm.db", plugins=discover(["sales", "service"]))
    with opened.session(Actor.system("test", tenant="main")) as s:
        acme = s.create(Account(name="Acme"))
        s.update(Account, acme.id, {"name": "Acme GmbH"})
    opened.close()
    newest = crm("history", "accounts", acme.id, "--size", "1").output
    assert 'name: "Acme" -> "Acme GmbH"' in newest
    assert "There is more: --after 2" in newest
    (oldest,) = json.loads(crm("history", "account", acme.id, "--after", "2", "--json").output)["items"]
    assert (oldest["verb"], oldest["actor"], oldest["changes"]["name"]) == ("created", "system:test", {"old": None, "new": "Acme"})
    for wrong in (["accounts", "00000000-0000-7000-8000-000000000000"], ["accounts", acme.id, "--tenant", "other"], ["accounts", "x"]):
        assert crm("history", *wrong).exit_code == 1
    assert (crm("history", "acounts", acme.id).exit_code, crm("history", "accounts", acme.id, "--after", "x").exit_code) == (1, 1)


def test_slow_ends_a_command_with_what_each_function_cost(crm: Run, folder: Path) -> None:
    crm("migrate")
    (folder / "deals.csv").write_text("name,worth\n" + "".join(f"Deal {n},5\n" for n in range(20)))
    (folder / "map.toml").write_text(
        'entity = "sales.opportunity"\nkey = "x:{name}"\n[fields]\nname = "name"\namount = { column = "worth", currency = "EUR" }\n'
    )
    result = crm("--slow", "import", "deals.csv", "--map", "map.toml")
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.output.splitlines() if line.startswith("function"))
    assert "longest ms" in line
    assert any(row.startswith("sales.") for row in result.output.splitlines())
    assert "longest ms" not in crm("import", "deals.csv", "--map", "map.toml").output


def test_an_old_sqlite_is_told_of_by_the_commands_about_the_database_alone(
    crm: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_core.storage.sqlite.affected_by_wal_reset", lambda _: True)
    crm("migrate")
    assert "can lose commits" in caplog.text
    caplog.clear()
    crm("tenant", "list")
    crm("jobs")
    assert "can lose commits" not in caplog.text
    crm("doctor")
    assert "can lose commits" in caplog.text


HOTEL = """
from crm_core import CRM, Entity, Field, FileKeys, Plugin, field

def made(sealed, **options):
    class Guest(Entity):
        room: Field[str | None] = field(default=None, sealed=sealed)

    plugin = Plugin("hotel", version="1.0")
    plugin.entities(Guest)
    return CRM("sqlite:///crm.db", plugins=[plugin], **options), Guest

def sealing():
    return made(True, keys=FileKeys("k"))[0]
"""


def test_encrypting_says_what_the_journal_keeps_in_plain(crm: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crm("keys", "create", "k")
    monkeypatch.syspath_prepend(folder)
    (folder / "hotel_of_guests.py").write_text(HOTEL)
    before, guest = importlib.import_module("hotel_of_guests").made(False)
    before.migrate()
    with before.session(Actor.system("test", tenant="main")) as s:
        s.create(guest(room="7"))
    before.close()
    crm("migrate", "--app", "hotel_of_guests:sealing")
    for said in ("main: 1 rows sealed.", "Nothing stands open."):
        first, second = crm("keys", "encrypt", "--app", "hotel_of_guests:sealing").output.splitlines()[-2:]
        assert (first, second.partition(" still")[0]) == (said, "main: 1 rows of the journal")
