"""``crm import`` lists imports, goes on with one that broke off, and takes one back [C67]."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crm_core import CRM, Account, Actor
from crm_core.io import Importer, Report, read_mappings
from tests.cli.conftest import Run

MAPPING = '[[import]]\npath = "{0}.csv"\nentity = "account"\n[import.fields]\nname = "name"\n'


@pytest.fixture
def files(folder: Path, crm: Run) -> Path:
    for name in ("first", "second", "third"):
        (folder / f"{name}.csv").write_text("name\n" + "".join(f"{name} {n}\n" for n in range(3000)))
    (folder / "all.toml").write_text("".join(map(MAPPING.format, ("first", "second", "third"))))
    assert crm("import", "--runs").stdout == ""
    return folder


def names(folder: Path) -> list[str]:
    crm = CRM(f"sqlite:///{folder}/crm.db")
    with crm.session(Actor.system("import", tenant="main"), write=False) as s:
        found = [a.name.split()[0] for a in s.query(Account).all()]
    crm.close()
    return found


def break_off(folder: Path) -> str:
    """Import the first file, and a part of the second."""
    crm = CRM(f"sqlite:///{folder}/crm.db")
    actor = Actor.system("import", tenant="main")
    first, second, _ = read_mappings(folder / "all.toml")
    Importer(crm, actor, first).run(folder / "first.csv")
    runs: list[str] = []

    def stop(done: float, report: Report) -> None:
        runs.append(report.run)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Importer(crm, actor, second).run(folder / "second.csv", progress=stop)
    crm.close()
    return runs[0]


def test_a_folder_goes_on_at_the_file_that_broke_off(files: Path, crm: Run) -> None:
    run = break_off(files)
    listed = crm("import", "--runs").stdout.splitlines()
    assert [re.sub(r"^\S+  \S+ \S+  ", "", line) for line in listed] == [
        "running  second.csv: 1000 rows of account: 1000 created, 0 updated, 0 failed.",
        "done  first.csv: 3000 rows of account: 3000 created, 0 updated, 0 failed.",
    ]
    assert listed[0].startswith(run)
    went_on = crm("import", ".", "--map", "all.toml", "--resume", run)
    assert [line.partition(":")[0] for line in went_on.stdout.splitlines()] == ["second.csv", "third.csv"]
    assert went_on.stderr.splitlines()[:2] == [
        "second.csv: this import goes on behind line 1001.",
        f"The import is {run}. To take it back: crm import --undo {run}",
    ]
    assert {name: names(files).count(name) for name in ("first", "second", "third")} == {"first": 3000, "second": 3000, "third": 3000}


def test_what_cannot_be_taken_back_is_listed_and_the_exit_code_says_so(files: Path, crm: Run) -> None:
    run = break_off(files)
    opened = CRM(f"sqlite:///{files}/crm.db")
    with opened.session(Actor.system("me", tenant="main")) as s:
        record = s.query(Account).where(Account.name == "second 7").one()
        s.update(Account, record.id, {"name": "mine"})
    opened.close()
    result = crm("import", "--undo", run)
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        "second.csv: 999 records deleted, 0 put back, 1 left as they are.",
        f"  account {record.id}: The account was changed after the import, so it stays as it is.",
    ]
    assert crm("import", "--undo", "last").stdout.startswith("first.csv: 3000 records deleted")
    assert names(files) == ["mine"]


def test_a_path_is_needed_to_import(crm: Run) -> None:
    result = crm("import")
    assert (result.exit_code, "Say which file or folder to import." in result.stderr) == (2, True)


def test_sheets_of_one_workbook_are_imported_as_files_are(folder: Path, crm: Run) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="the extra io is not installed")
    book = openpyxl.Workbook()
    book.active.title = "Firms"
    for sheet, rows in ((book.active, ["name", "Acme", None]), (book.create_sheet("New firms"), ["name", "Best", "x" * 300])):
        for cell in rows:
            sheet.append([cell, cell and 1])
    book.save(folder / "book.xlsx")
    part = '[[import]]\npath = "book.xlsx"\nentity = "account"\nignore = ["1"]\nfile = {{ sheet = "{0}" }}\nfields = {{ name = "name" }}\n'
    (folder / "book.toml").write_text(part.format("Firms") + part.format("New firms"))
    result = crm("import", "book.xlsx", "--map", "book.toml", "--errors", "failed.csv")
    assert [line.split(": ", 1)[1] for line in result.stdout.splitlines() if line.startswith("book.xlsx")] == [
        "2 rows of account: 1 created, 0 updated, 0 unchanged, 0 failed, 1 blank.",
        "2 rows of account: 1 created, 0 updated, 0 unchanged, 1 failed, 0 blank.",
    ]
    assert sorted(p.name for p in folder.glob("failed*")) == ["failed-book-Firms.csv", "failed-book-New_firms.csv"]
    opened = CRM(f"sqlite:///{folder}/crm.db")

    def stop(done: float, report: Report) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Importer(opened, Actor.system("import", tenant="main"), read_mappings("book.toml")[1]).run("book.xlsx", progress=stop)
    opened.close()
    went_on = crm("import", "book.xlsx", "--map", "book.toml", "--resume", "last")
    assert went_on.stdout.count("rows of account: 1 created") == 1
    one = crm("import", "book.xlsx", "--map", "book.toml", "--sheet", "New firms", "--dry-run")
    assert one.stdout.count("rows of account") == 1
    proposal = crm("import", "book.xlsx", "--as", "accounts", "--sheet", "Firms", "--propose").stdout
    assert '[file]\nsheet = "Firms"' in proposal
