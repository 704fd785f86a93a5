"""``crm audit verify``: what it says, to people and to programs, and its exit codes."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from crm_core import CRM, Account, Actor
from crm_core.audit import Audit, FileSigner, FileSink
from tests.cli.conftest import Run, crm, folder, installed

__all__ = ["crm", "folder", "installed"]
APP = """
from crm_core import CRM
from crm_core.audit import Audit, FileSigner, FileSink

crm = CRM("sqlite:///bank.db", audit=Audit(signer=FileSigner("audit.key"), sink=FileSink("sink.jsonl")))
"""


@pytest.fixture
def bank(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An application in the folder, with three sealed rows in one tenant and one that is not sealed in another."""
    monkeypatch.delitem(sys.modules, "bank", raising=False)
    (folder / "bank.py").write_text(APP)
    made = CRM("sqlite:///bank.db", audit=Audit(signer=FileSigner.create("audit.key"), sink=FileSink("sink.jsonl")))
    made.migrate()
    with made.session(Actor.system("test", tenant="main")) as s:
        s.create_many(Account(name=n) for n in "abc")
    made.audit.seal()
    with made.session(Actor.system("test", tenant="other")) as s:
        s.create(Account(name="d"))
    made.close()
    return "bank:crm"


def change(statement: str) -> None:
    with closing(sqlite3.connect("bank.db")) as connection, connection:
        connection.execute(statement)


def test_a_verification_says_how_much_is_proved_and_ends_with_zero_or_four(crm: Run, bank: str) -> None:
    sound = [
        "main: 3 rows are as they were sealed, 3 of them under a signed checkpoint.",
        "other: 0 rows are as they were sealed, 0 of them under a signed checkpoint; 1 are not sealed yet.",
    ]
    done = crm("audit", "verify", "--app", bank, "--against", "sink.jsonl")
    assert (done.exit_code, done.stdout.splitlines()) == (0, sound)
    change("UPDATE crm_journal SET reason = 'another' WHERE id = 2")
    found = crm("audit", "verify", "--app", bank, "--tenant", "main")
    assert (found.exit_code, found.stdout.splitlines()) == (
        4,
        [
            "main: 1 rows are as they were sealed, 1 of them under a signed checkpoint.",
            "  Row 2 of the chain (journal 2) or its seal was changed.",
        ],
    )
    assert "第 2 行" in crm("audit", "verify", "--app", bank, "--lang", "zh").stdout


def test_programs_get_json(crm: Run, bank: str) -> None:
    change("DELETE FROM crm_journal WHERE id = 3")
    change("DELETE FROM crm_seal WHERE number = 3")
    change("DELETE FROM crm_checkpoint")
    assert json.loads(crm("audit", "verify", "--app", bank, "--json").stdout)["ok"] is True
    found = crm("audit", "verify", "--app", bank, "--json", "--against", "sink.jsonl")
    assert found.exit_code == 4
    assert json.loads(found.stdout) == {
        "ok": False,
        "sealed": {"main": 2},
        "unsealed": {"other": 1},
        "signed": {"main": 0},
        "findings": [{"fault": "truncated", "tenant": "main", "number": 3, "row": None, "place": "sink:1"}],
    }


def test_what_cannot_be_verified_ends_with_one(crm: Run, bank: str) -> None:
    missing = crm("audit", "verify", "--app", bank, "--against", "nowhere.jsonl")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "nowhere.jsonl cannot be read" in missing.stderr
    assert crm("audit", "verify", "--db", "mistyped.db").exit_code == 1
