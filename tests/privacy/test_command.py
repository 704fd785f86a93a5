"""``crm privacy``: what it says and does [C72]."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from crm_core import CRM, Actor, Contact, Email, Interaction, Link
from tests.cli.conftest import Run, crm, folder, installed

__all__ = ["crm", "folder", "installed"]
OFFICER = Actor.system("privacy", tenant="main")


@pytest.fixture
def ada(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An application in the folder whose database knows one person."""
    monkeypatch.delitem(sys.modules, "club", raising=False)
    monkeypatch.setenv("CRM_APP", "club:crm")
    (folder / "club.py").write_text('from crm_core import CRM\n\ncrm = CRM("sqlite:///crm.db")\n')
    made = CRM("sqlite:///crm.db")
    made.migrate()
    with made.session(OFFICER) as s:
        ada = s.create(Contact(name="Ada", emails=[Email("ada@example.com")]))
        s.create(Interaction(at=made.runtime.clock.now(), body="hello", links=[Link.to(ada)]))
    made.close()
    return ada.id


def test_a_person_is_exported_planned_held_and_erased(crm: Run, ada: str, folder: Path) -> None:
    done = crm("privacy", "export", "ada@example.com", "--to", "ada.json")
    assert (done.exit_code, done.output.strip()) == (0, f"2 records of contact:{ada} were written to ada.json.")
    assert json.loads((folder / "ada.json").read_text())["records"]["contact"][0]["name"] == "Ada"
    assert crm("privacy", "export", "ada@example.com", "--to", "ada.json").exit_code == 1
    assert json.loads(crm("privacy", "export", f"contact:{ada}").output)["subjects"] == [f"contact:{ada}"]
    assert crm("privacy", "hold", "ada@example.com", "--reason", "case 4711").output.strip() == "1 records were marked."
    plan = crm("privacy", "erase", "ada@example.com", "--plan").output.splitlines()
    assert plan == [
        "1 of contact: delete (person).",
        "1 of interaction: empty (mentions).",
        f"held: contact {ada}: case 4711",
    ]
    refused = crm("privacy", "erase", "ada@example.com")
    assert refused.exit_code == 1
    assert "case 4711" in refused.output
    assert crm("privacy", "hold", "ada@example.com", "--lift").output.strip() == "1 records are not marked any more."
    assert crm("privacy", "restrict", "ada@example.com").output.strip() == "1 records were marked."
    assert crm("privacy", "restrict", "ada@example.com", "--lift").output.strip() == "1 records are not marked any more."
    assert crm("backup", "create", "before.crm", "--plain").exit_code == 0
    done = crm("privacy", "erase", "ada@example.com", "--reason", "asked", "--certificate", "erased.jsonl")
    assert done.output.startswith(f"Erased: contact:{ada}. The certificate is ")
    assert crm("privacy", "erase", "ada@example.com").exit_code == 1
    assert crm("privacy", "reapply", "erased.jsonl").output.strip() == "0 erasures were done again."
    restored = crm("restore", "before.crm", "--to", "other.db", "--erasures", "erased.jsonl")
    assert restored.exit_code == 0
    other = CRM("sqlite:///other.db")
    with other.session(OFFICER) as s:
        assert s.query(Contact).count() == 0
    other.close()
    assert crm("audit", "verify").exit_code == 0


def test_addresses_are_suppressed_and_allowed_again(crm: Run, ada: str) -> None:
    assert crm("privacy", "suppress", "ada@example.com", "+4930123456").output.strip() == "2 addresses are suppressed."
    assert crm("privacy", "suppress", "ada@example.com", "--lift").output.strip() == "1 addresses may be written to again."
    assert crm("privacy", "suppress", "nonsense").exit_code == 1


def test_what_is_due_is_told_then_done(crm: Run, ada: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = crm("privacy", "retain").output.splitlines()
    assert offered[0] == "Nothing is due."
    assert offered[1] == "Suggested, not in force: core.imports: import_run empty after 1 year; 0 would be due."
    monkeypatch.delitem(sys.modules, "club", raising=False)
    (folder / "club.py").write_text(
        "from crm_core import CRM, Interaction, Plugin\n\n"
        'rules = Plugin("rules", version="1.0")\n'
        'rules.retention("talks", Interaction, keep="1 day", since="at", action="delete")\n'
        'crm = CRM("sqlite:///crm.db", plugins=[rules])\n'
    )
    assert crm("migrate").exit_code == 0
    made = CRM("sqlite:///crm.db")
    with made.session(OFFICER) as s:
        s.create(Interaction(at=made.runtime.clock.now() - timedelta(days=2), body="CANARYold"))
    said = "1 of interaction are due: delete (rules.talks, before "
    assert crm("privacy", "retain").output.startswith(said)
    done = crm("privacy", "retain", "--apply")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("1 of interaction: delete (rules.talks, before ")
    assert crm("privacy", "retain").output.startswith("Nothing is due.")
    with made.session(OFFICER) as s:
        assert s.query(Interaction).count() == 1
    made.close()
    assert b"CANARYold" not in b"".join(path.read_bytes() for path in folder.glob("crm.db*"))
