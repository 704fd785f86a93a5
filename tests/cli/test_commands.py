"""The command ``crm``: what each subcommand does, and how it says that it cannot."""

from __future__ import annotations

import csv
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crm_core
import crm_sales
from crm_core import CRM, Account, Actor, PluginFailed
from crm_core.testing.databases import Database
from crm_sales.api import Opportunity, Sales
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
IMPORT = Actor.system("import", tenant="main")


@pytest.fixture
def accounts(folder: Path) -> str:
    (folder / "accounts.csv").write_text("id,name,industry\n1,Acme,toys\n2,,food\n3,Best,tea\n")
    (folder / "map.toml").write_text('entity = "account"\nkey = "a:{id}"\n[fields]\nname = "name"\nindustry = "industry"\n')
    return "accounts.csv"


def stored(url: str) -> list[tuple[str, str | None]]:
    crm = CRM(url)
    with crm.session(IMPORT, write=False) as s:
        found = [(a.name, a.external_ref) for a in s.query(Account).order_by(Account.name).all()]
    crm.close()
    return found


def test_the_version_and_the_commands_are_listed(crm: Run) -> None:
    assert crm("--version").stdout == f"crm, version {crm_core.__version__}\n"
    shown = crm("--help").stdout
    assert all(f"  {name} " in shown for name in ("export", "import", "migrate", "plugins", "worker"))


def test_importing_the_entry_point_imports_neither_click_nor_the_database_library() -> None:
    program = "import sys, crm_core.cli.main; print(sorted({'click', 'rich', 'sqlalchemy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_records_are_written_to_a_file_that_is_not_overwritten_unasked(crm: Run, folder: Path, accounts: str) -> None:
    crm("import", accounts, "--map", "map.toml")
    done = crm("export", "accounts", "out.csv", "--fields", "name,industry", "--where", "industry=tea", "--sort", "-name")
    assert (done.exit_code, done.stdout) == (0, "out.csv: 1 rows.\n")
    assert (folder / "out.csv").read_text() == "name,industry\nBest,tea\n"
    again = crm("export", "accounts", "out.csv")
    assert (again.exit_code, again.stderr) == (1, "Error: out.csv is there already. Choose another name, or give --force.\n")
    assert crm("export", "accounts", "out.csv", "--fields", "name", "--force").stdout == "out.csv: 2 rows.\n"
    assert (folder / "out.csv").read_text() == "name\nAcme\nBest\n"
    assert "There is no database nix.db." in crm("export", "accounts", "other.csv", "--db", "nix.db").stderr
    assert not (folder / "nix.db").exists()
    for wrong in (["--where", "nonsense=1"], ["--fields", "nonsense"], ["--sort", "emails"]):
        refused = crm("export", "accounts", "other.csv", *wrong)
        assert (refused.exit_code, (folder / "other.csv").exists()) == (1, False)


@pytest.mark.parametrize("absent", ["click", "rich"])
def test_without_the_extra_the_command_names_it(absent: str) -> None:
    program = f"import sys; sys.modules[{absent!r}] = None; from crm_core.cli.main import main; sys.argv = ['crm', 'plugins']; main()"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert "pip install 'crm-core[cli]'" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_import_writes_what_it_can_reports_the_rest_and_ends_with_three(
    crm: Run, accounts: str, database: Database, folder: Path
) -> None:
    result = crm("import", accounts, "--map", "map.toml", "--db", database.url, "--errors", "bad.csv")
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        "accounts.csv: 3 rows of account: 2 created, 0 updated, 0 unchanged, 1 failed, 0 blank.",
        "  Line 3: name: A value is required.",
        "  1 rows failed; they are in bad.csv.",
    ]
    assert stored(database.url) == [("Acme", "a:1"), ("Best", "a:3")]
    with (folder / "bad.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["line", "reason", "id", "name", "industry"],
            ["3", "name: A value is required.", "2", "", "food"],
        ]


def test_a_second_import_changes_nothing_and_a_good_one_ends_with_zero(crm: Run, accounts: str, folder: Path) -> None:
    (folder / accounts).write_text("id,name,industry\n1,Acme,toys\n")
    assert crm("import", accounts, "--map", "map.toml").exit_code == 0
    again = crm("import", accounts, "--map", "map.toml")
    assert (again.exit_code, again.stdout) == (
        0,
        "accounts.csv: 1 rows of account: 0 created, 0 updated, 1 unchanged, 0 failed, 0 blank.\n",
    )
    assert stored("sqlite:///crm.db") == [("Acme", "a:1")]


@pytest.mark.parametrize("option", ["--dry-run", "--whole"])
def test_a_dry_run_and_all_or_nothing_write_nothing(crm: Run, accounts: str, option: str) -> None:
    result = crm("import", accounts, "--map", "map.toml", option)
    assert (result.exit_code, "nothing was written" in result.stdout.lower()) == (3, True)
    assert stored("sqlite:///crm.db") == []


@pytest.mark.parametrize("option", ["--dry-run", "--whole"])
def test_the_files_of_a_set_are_tried_together_and_undone_together(crm: Run, accounts: str, folder: Path, option: str) -> None:
    (folder / "contacts.csv").write_text("name,company\nAnn,Acme\nBob,Bets\n")
    one = (folder / "map.toml").read_text().replace("[fields]", "[import.fields]")
    contacts = (
        'path = "contacts.csv"\nentity = "contact"\n[import.fields]\nname = "name"\naccount = { column = "company", lookup = "name" }\n'
    )
    (folder / "map.toml").write_text(f'[[import]]\npath = "accounts.csv"\n{one}\n[[import]]\n{contacts}')
    result = crm("import", ".", "--map", "map.toml", option)
    assert (result.exit_code, result.stdout.lower().count("nothing was written")) == (3, 2)
    assert "contacts.csv: 2 rows of contact: 1 created" in result.stdout
    assert "nothing is called Bets (1 rows). Did you mean Best?" in result.stdout
    assert stored("sqlite:///crm.db") == []


def test_the_language_is_the_callers(crm: Run, accounts: str) -> None:
    result = crm("--lang", "zh", "import", accounts, "--map", "map.toml")
    assert result.stdout.startswith("accounts.csv：account 共 3 行：新建 2")
    assert "没有适用于" in crm("import", accounts, "--lang", "zh").stderr


def test_a_mapping_of_several_files_is_used_by_entity_or_by_file_name(crm: Run, accounts: str, folder: Path) -> None:
    one = (folder / "map.toml").read_text().replace("[fields]", "[import.fields]")
    several = f'[[import]]\npath = "accounts.csv"\n{one}\n[[import]]\npath = "contacts.csv"\n{one.replace("account", "contact")}'
    (folder / "map.toml").write_text(several.replace('industry = "industry"\n', "", 2) + 'title = "industry"\n')
    (folder / "contacts.csv").write_text("id,name,industry\n1,Ann,boss\n")
    assert crm("import", "contacts.csv", "--map", "map.toml").stdout.startswith("contacts.csv: 1 rows of contact: 1 created")
    assert crm("import", ".", "--as", "contacts", "--map", "map.toml").stdout.startswith("contacts.csv: 1 rows of contact: 0 created")
    both = crm("import", ".", "--map", "map.toml", "--errors", "bad.csv")
    assert [line.split(":")[0] for line in both.stdout.splitlines() if " rows of " in line] == ["accounts.csv", "contacts.csv"]
    assert (folder / "bad-accounts.csv").exists()


def test_a_proposed_mapping_can_be_imported_with_as_it_is(crm: Run, accounts: str, folder: Path) -> None:
    proposed = crm("import", accounts, "--as", "accounts", "--propose")
    (folder / "map.toml").write_text(proposed.stdout, "utf-8")
    assert crm("import", accounts, "--map", "map.toml").stdout.startswith("accounts.csv: 3 rows of account: 2 created")
    assert stored("sqlite:///crm.db") == [("Acme", "accounts:1"), ("Best", "accounts:3")]


def test_json_lines_are_imported_like_rows(crm: Run, accounts: str, folder: Path) -> None:
    (folder / "more.jsonl").write_text("".join(json.dumps({"id": n, "name": f"N{n}", "industry": None}) + "\n" for n in (7, 8)))
    assert crm("import", "more.jsonl", "--map", "map.toml").exit_code == 0
    assert stored("sqlite:///crm.db") == [("N7", "a:7"), ("N8", "a:8")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "accounts.csv", "--map", "map.toml", "--as", "acounts"), "acounts is not something to import. Did you mean accounts?"),
        (("import", "accounts.csv"), "No mapping is for accounts.csv."),
        (("import", "accounts.csv", "--propose"), "is not something to import"),
        (("import", "accounts.csv", "--map", "bad.toml"), "The mapping bad.toml does not fit: fielts"),
        (("import", "accounts.csv", "--map", "map.toml", "--db", "nodb://x"), "The database URL cannot be read"),
        (("import", "accounts.csv", "--map", "map.toml", "--db", "no/such/folder/x.db"), "The database x.db cannot be opened."),
        (("import", "accounts.csv", "--map", "map.toml", "--app", "no.such:crm"), "no.such:crm is not a CRM of an application"),
        (("worker", "--once", "--app", "json:loads"), "json:loads is not a CRM of an application"),
        (("migrate", "--app", "json:nothing"), "json:nothing is not a CRM of an application"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_exit_code_one(
    crm: Run, accounts: str, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    (folder / "bad.toml").write_text('entity = "account"\n[fielts]\nname = "name"\n')
    result = crm(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [("imprt",), ("import",), ("import", "nothing.csv"), ("worker", "--onec")])
def test_wrong_usage_ends_with_two(crm: Run, arguments: tuple[str, ...]) -> None:
    assert crm(*arguments).exit_code == 2


def test_the_installed_plugins_are_listed_with_their_versions(crm: Run) -> None:
    rows = [line.split() for line in crm("plugins").stdout.splitlines()]
    assert rows[0] == ["plugin", "version", "label", "requires", "brings"]
    assert ["sales", crm_sales.plugin.version, crm_sales.plugin.label] in [row[:3] for row in rows]


def test_a_plugin_that_cannot_be_imported_is_listed_with_the_reason(crm: Run, tmp_path: Path) -> None:
    points = tmp_path / "site" / "some_vendor-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "broken = no_such_module:plugin\n")
    result = crm("plugins")
    assert result.exit_code == 0
    assert "broken" in result.stdout
    assert "sales" in result.stdout


def test_migrate_says_its_steps_and_does_them(crm: Run, database: Database) -> None:
    planned = crm("migrate", "--plan", "--db", database.url)
    assert "create table crm_sales_opportunity" in planned.stdout
    done = crm("migrate", "--db", database.url)
    assert done.stdout.startswith(planned.stdout)
    assert "up to date" in done.stdout
    assert crm("migrate", "--plan", "--db", database.url).stdout == ""


APP = """
from crm_core import CRM, Account, Actor, Created, Plugin
plugin = Plugin("shop", version="1")
plugin.grants("account:read")

@plugin.on(Created[Account])
def told(s, event):
    with open("told.txt", "a") as f:
        f.write(s.get(Account, event.record).name + "\\n")

crm = CRM({url!r}, plugins=[plugin])

def make():
    return crm
"""


@pytest.fixture
def app(folder: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"shop_{database.kind}_{os.urandom(4).hex()}"
    (folder / f"{name}.py").write_text(APP.format(url=database.url))
    monkeypatch.syspath_prepend(folder)
    return name


FAULTY = """
sick = Plugin("sick", version="2.1")

@sick.hook(before_write, on=Account)
def fill(ctx, changes):
    raise KeyError("secret")

@sick.on(Created[Account])
def told(s, event):
    raise OSError("secret")

crm = CRM({url!r}, plugins=[plugin, sick], quarantine_after=2)
"""


def test_the_plugins_of_an_application_are_listed_with_their_quarantine(crm: Run, app: str, folder: Path, database: Database) -> None:
    source = (folder / f"{app}.py").read_text()
    (folder / f"{app}.py").write_text(source.replace("Created, Plugin", "Created, Plugin, before_write") + FAULTY.format(url=database.url))
    fresh = crm("plugins", "--app", f"{app}:crm")
    assert [line.split()[-1] for line in fresh.stdout.splitlines()] == ["state", "runs.", "runs."]
    assert crm("migrate", "--app", f"{app}:crm").exit_code == 0
    ours = importlib.import_module(app).crm
    for state in ("It fails: sick.fill, 1 times", "It is in quarantine in main since 20"):
        with pytest.raises(PluginFailed), ours.session(IMPORT) as s:
            s.create(Account(name="Acme"))
        shown = " ".join(crm("plugins", "--app", f"{app}:crm").stdout.split())
        assert state in shown
        assert "last with KeyError" in shown
        assert "secret" not in shown
    assert "隔离" in crm("plugins", "--app", f"{app}:crm", "--lang", "zh").stdout
    (folder / "again.py").write_text((folder / f"{app}.py").read_text())
    assert "It is in quarantine in main since 20" in " ".join(crm("plugins", "--app", "again:crm").stdout.split())
    assert crm("plugins", "resume", "sick", "--app", f"{app}:crm").stdout.startswith("sick is in quarantine no more.")
    assert "Did you mean sick?" in crm("plugins", "resume", "sik", "--app", f"{app}:crm").stderr
    assert "quarantine" not in crm("plugins", "--app", f"{app}:crm").stdout


def test_the_plugins_of_a_database_are_listed_with_what_waits_for_them(crm: Run, app: str, accounts: str, folder: Path) -> None:
    assert crm("migrate", "--app", f"{app}:crm").exit_code == 0
    assert crm("import", accounts, "--map", "map.toml", "--app", f"{app}:make").exit_code == 3
    (folder / "told.txt").mkdir()  # so that telling fails
    crm("worker", "--once", "--app", f"{app}:crm")
    shown = " ".join(crm("plugins", "--app", f"{app}:crm").stdout.split())
    assert "It fails: shop.told, 2 times in a row" in shown
    assert shown.endswith(" 2 records wait for its subscribers.")


def test_an_application_with_a_schema_behind_is_told_to_migrate(crm: Run, app: str, accounts: str) -> None:
    result = crm("import", accounts, "--map", "map.toml", "--app", f"{app}:crm")
    assert (result.exit_code, "migrat" in result.stderr) == (1, True)


def test_a_worker_delivers_what_is_due_of_an_application(crm: Run, app: str, accounts: str, folder: Path) -> None:
    assert crm("migrate", "--app", f"{app}:crm").exit_code == 0
    assert crm("import", accounts, "--map", "map.toml", "--app", f"{app}:make").exit_code == 3
    assert crm("worker", "--once", "--app", f"{app}:crm").stdout == "2 deliveries done.\n"
    assert (folder / "told.txt").read_text() == "Acme\nBest\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_runs_until_it_is_told_to_end(crm: Run, app: str, accounts: str, folder: Path, number: signal.Signals) -> None:
    crm("migrate", "--app", f"{app}:crm")
    paths = os.pathsep.join([str(folder), str(ROOT), str(ROOT / "plugins" / "sales"), str(ROOT / "plugins" / "service")])
    command = [sys.executable, "-m", "crm_core.cli.main", "worker", "--app", f"{app}:crm"]
    with subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "Delivering events. Ctrl-C ends it.\n"
            crm("import", accounts, "--map", "map.toml", "--app", f"{app}:crm")
            _wait(lambda: (folder / "told.txt").exists() and (folder / "told.txt").read_text() == "Acme\nBest\n")
            worker.send_signal(number)
            assert worker.wait(20) == 0
        finally:
            worker.kill()


def _wait(done: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_command_imports_a_real_set_and_the_figures_are_known(crm: Run, folder: Path, test_data: Callable[[str], Path]) -> None:
    data = test_data("sales/maven_crm_opportunities")
    page = (ROOT / "docs" / "how-to" / "import.md").read_text("utf-8").split("```text\n$ crm import FOLDER --map maven.toml\n")[1]
    result = crm("import", str(data), "--map", str(ROOT / "docs" / "how-to" / "maven.toml"))
    assert (result.exit_code, result.stdout) == (0, page.split("```")[0])
    stored: Any = CRM("sqlite:///crm.db", plugins=[crm_sales.plugin])
    with stored.session(IMPORT, write=False) as s:
        assert (s.query(Opportunity).count(), str(s.use(Sales).win_rate().percent)) == (8800, "63.15")
    stored.close()


@pytest.mark.parametrize("name", ["../secret.csv", "/etc/passwd", "link.csv"])
def test_a_mapping_of_a_folder_cannot_name_files_outside_of_it(crm: Run, folder: Path, name: str) -> None:
    (folder / "secret.csv").write_text("name\nAcme\n")
    (folder / "in").mkdir()
    (folder / "in" / "link.csv").symlink_to(folder / "secret.csv")
    (folder / "map.toml").write_text(f'[[import]]\nentity = "account"\npath = "{name}"\n[import.fields]\nname = "name"\n')
    crm("migrate", "--db", "sqlite:///x.db")
    done = crm("import", "in", "--map", "map.toml", "--db", "sqlite:///x.db")
    assert done.exit_code == 1
    assert "not in the folder" in done.output + done.stderr
    assert stored("sqlite:///x.db") == []
