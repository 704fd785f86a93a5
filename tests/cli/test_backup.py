"""[C74, C82] ``crm backup``, ``crm restore``, ``crm tenant`` and ``crm move``, as people run them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from crm_core import CRM, Account, Actor
from tests.cli.conftest import Run


def fill(crm: Run, folder: Path) -> None:
    (folder / "accounts.csv").write_text("name\nAcme\nBest\n")
    (folder / "map.toml").write_text('entity = "account"\n[fields]\nname = "name"\n')
    for tenant in ("main", "acme"):
        assert crm("import", "accounts.csv", "--map", "map.toml", "--tenant", tenant).exit_code == 0


def names(file: str, tenant: str = "main") -> list[str]:
    found = CRM(f"sqlite:///{file}")
    with found.session(Actor.system("test", tenant=tenant), write=False) as s:
        told = [a.name for a in s.query(Account).order_by(Account.name).all()]
    found.close()
    return told


def test_c74_c82_from_a_key_to_a_restored_and_a_moved_database(crm: Run, folder: Path) -> None:
    fill(crm, folder)
    assert crm("keys", "create", "k").exit_code == 0
    made = crm("backup", "create", "all.crm", "--key", "k")
    assert re.fullmatch(r"all\.crm: \d+ rows, the journal up to \d+\.\n", made.stdout), made.output
    assert re.match(
        r"all\.crm is whole: \d+ rows of \d{4}-\d\d-\d\d \d\d:\d\d UTC", crm("backup", "verify", "all.crm", "--key", "k").stdout
    )
    assert re.search(r"restored, compared and taken away again in \d+\.\d s", crm("backup", "drill", "all.crm", "--key", "k").stdout)
    assert "rows restored" in crm("restore", "all.crm", "--key", "k", "--to", "again.db").stdout
    assert names("again.db") == ["Acme", "Best"]
    refused = crm("restore", "all.crm", "--key", "k", "--to", "again.db")
    assert (refused.exit_code, "There are records already" in refused.output) == (1, True)
    assert crm("restore", "all.crm", "--key", "k", "--to", "again.db", "--force").exit_code == 0
    assert "each table with the same checksum" in crm("move", "again.db", "moved.db").stdout
    assert names("moved.db") == ["Acme", "Best"]
    again = crm("backup", "create", "all.crm", "--key", "k")
    assert (again.exit_code, "all.crm exists already" in again.output) == (1, True)
    assert crm("backup", "create", "all.crm", "--key", "k", "--force").exit_code == 0
    assert sorted(os.listdir(folder)) == ["accounts.csv", "again.db", "all.crm", "crm.db", "k", "map.toml", "moved.db"]


def test_c74_a_tenant_is_taken_out_plainly_where_that_is_said_dropped_and_brought_back(crm: Run, folder: Path) -> None:
    fill(crm, folder)
    keyless = crm("backup", "create", "acme.crm")
    assert (keyless.exit_code, "needs a key" in keyless.output) == (1, True)
    missing = crm("backup", "create", "acme.crm", "--key", "nowhere")
    assert (missing.exit_code, "There is no key file nowhere" in missing.output) == (1, True)
    assert crm("backup", "create", "acme.crm", "--plain", "--tenant", "acme").exit_code == 0
    assert "rows of the tenant acme of " in crm("backup", "verify", "acme.crm").stdout
    unsure = crm("tenant", "drop", "acme")
    assert (unsure.exit_code, "Add --yes" in unsure.output) == (1, True)
    assert re.fullmatch(r"\d+ rows of acme deleted\.\n", crm("tenant", "drop", "acme", "--yes").stdout)
    assert (names("crm.db", "acme"), names("crm.db")) == ([], ["Acme", "Best"])
    assert crm("restore", "acme.crm", "--tenant", "acme").exit_code == 0
    assert (names("crm.db", "acme"), names("crm.db")) == (["Acme", "Best"], ["Acme", "Best"])
