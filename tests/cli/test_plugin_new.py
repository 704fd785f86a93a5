"""``crm plugin new``: the package it makes is a plugin whose own tests pass, installed as a vendor's users install it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from uv import find_uv_bin

from crm_core.cli.scaffold import Names
from crm_core.errors import Invalid
from crm_core.testing.databases import PostgresDatabases
from tests.cli.conftest import Run
from tests.figures import LONG

ROOT = Path(__file__).resolve().parents[2]
BARE = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def say(command: list[str | Path], cwd: Path, **env: str) -> str:
    """Run a command that has to succeed, in a bare environment; return what it printed."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, env={**BARE, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of acme.loyalty, made by the command in a process of its own."""
    folder = tmp_path_factory.mktemp("vendor")
    command = [sys.executable, "-m", "crm_core.cli.main", "plugin", "new", "acme.loyalty", "--entity", "Card", "--no-input"]
    assert "acme-loyalty" in say([*command], folder, PYTHONPATH=str(ROOT))
    return folder / "acme-loyalty"


@pytest.fixture(scope="module")
def python(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheels of crm-core and of the plugin, and what both need, but no source of either."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "env", symlinks=True)
    found = folder / "env" / "bin" / "python"
    beside = Path(say([found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()) / "needed.pth"
    beside.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    for project in (ROOT, made):
        say([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"], project)
    wheels = sorted((folder / "dist").glob("*.whl"))
    say([find_uv_bin(), "pip", "install", "--offline", "--no-deps", "--python", found, *wheels], folder, HOME=str(folder))
    return found


@pytest.fixture
def users(made: Path, tmp_path: Path) -> Path:
    """All of the project but its package, so that what is imported is what was installed."""
    return Path(shutil.copytree(made, tmp_path / "users", ignore=shutil.ignore_patterns("acme_loyalty", ".*_cache")))


def test_its_own_tests_pass_at_once_on_both_databases_in_a_fresh_environment(
    python: Path, users: Path, postgres_databases: PostgresDatabases
) -> None:
    database = postgres_databases.create()
    try:
        shown = say([python, "-m", "pytest", "-q", "-p", "no:cacheprovider"], users, CRM_TEST_POSTGRES=database.url, PYTHONNOUSERSITE="1")
    finally:
        postgres_databases.drop(database)
    assert "18 passed" in shown
    assert "skipped" not in shown


def test_a_user_finds_it_among_the_plugins_and_has_its_command(python: Path, tmp_path: Path) -> None:
    crm = python.with_name("crm")
    listed = [line.split() for line in say([crm, "plugins"], tmp_path).splitlines()]
    assert ["acme.loyalty", "0.1.0", "Loyalty"] in [row[:3] for row in listed]
    assert say([crm, "--db", tmp_path / "some.db", "acme.loyalty", "open"], tmp_path) == ""
    assert "crm_acme_loyalty_card" in say([crm, "migrate", "--plan", "--db", tmp_path / "other.db"], tmp_path)
    assert "26 files" in say([crm, "plugin", "new", "acme.fleet", "--no-input"], tmp_path)
    manifest = json.loads(say([crm, "plugin", "manifest", "acme.loyalty"], tmp_path))
    assert list(manifest["entities"]) == ["acme.loyalty.card"]


def test_what_it_promises_is_locked_and_a_change_by_accident_fails_its_ci(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    lock: list[str | Path] = [sys.executable, "-m", "crm_core.cli.main", "plugin", "lock", "--check"]
    assert say(lock, copy, PYTHONPATH=str(ROOT)) == ""
    events = copy / "acme_loyalty" / "events.py"
    events.write_text(events.read_text().replace("account: Ref[Account]", "account: Ref[Account]\n    points: int"))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(list(map(str, lock)), cwd=copy, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "events acme.loyalty.card_closed fields points" in done.stdout
    assert "raise the event's version" in done.stdout


def test_a_field_that_was_not_frozen_is_told_where_contracts_are_locked(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    entities = copy / "acme_loyalty" / "entities.py"
    field = "    title: Field[str] = field(length=200)\n"
    entities.write_text(entities.read_text().replace(field, f"{field}    motto: Field[str | None] = field(default=None)\n"))
    lock = [sys.executable, "-m", "crm_core.cli.main", "plugin", "lock"]
    say(list(lock), copy, PYTHONPATH=str(ROOT))
    checked = [*lock, "--check"]
    done = subprocess.run(checked, cwd=copy, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert "run crm plugin freeze acme.loyalty" in done.stderr


def test_the_kit_tries_it_from_the_installed_wheels(python: Path, users: Path) -> None:
    kit: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "--pyargs",
        "crm_core.testing.conformance",
        "--plugin",
        "acme.loyalty",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    shown = say([*kit, "-k", "CK01 or CK06 or CK10 or CK18"], users, PYTHONNOUSERSITE="1")
    assert "4 passed" in shown


@pytest.fixture(scope="module")
def two_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a plugin whose names are of two words, and which adds to contacts."""
    folder = tmp_path_factory.mktemp("words")
    options = ["--entity", "GiftCard", "--extend", "Contact", "--author", "Ann", "--no-input", "--dir", "there"]
    command = [sys.executable, "-m", "crm_core.cli.main", "plugin", "new", "acme.eu.gift_cards", *options]
    say([*command], folder, PYTHONPATH=str(ROOT))
    return folder / "there"


@pytest.mark.skipif(not LONG, reason="the long form: CRM_TRUST_LONG=1")
def test_a_package_of_two_words_passes_its_tests_too(two_words: Path) -> None:
    shown = say([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], two_words, PYTHONPATH=str(ROOT))
    assert "18 passed" in shown
    assert 'authors = [{ name = "Ann" }]' in (two_words / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("which", "package"), [("made", "acme_loyalty"), ("two_words", "acme_eu_gift_cards")])
def test_its_code_is_clean_and_typed_by_its_own_rules(which: str, package: str, request: pytest.FixtureRequest) -> None:
    project: Path = request.getfixturevalue(which)
    assert say([sys.executable, "-m", "ruff", "check", "--no-cache"], project) == "All checks passed!\n"
    assert "already formatted" in say([sys.executable, "-m", "ruff", "format", "--check", "--no-cache"], project)
    typed = say([sys.executable, "-m", "mypy", "--strict", project / package, project / "tests"], ROOT, MYPYPATH=str(project))
    assert typed.startswith("Success")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Acme Loyalty", "like acme.loyalty"),
        ("acme-loyalty", "like acme_loyalty"),
        ("acme..loyalty", "like acme.loyalty"),
        ("1st.plugin", "like acme.loyalty"),
        ("acme." + "x" * 60, "at most 40 characters"),
        ("../evil", "like evil"),
        ("json", "like acme.json"),
        ("class", "like acme.class"),
        ("core", "is taken"),
        ("sales", "is taken"),
        ("crm_core", "is taken"),
        ("crm.core", "a package crm_core of that name is installed"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(crm: Run, folder: Path, name: str, said: str) -> None:
    result = crm("plugin", "new", name, "--no-input")
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("entity", "said"),
    [
        ("gift card", "like GiftCard"),
        ("Account", "is taken"),
        ("Class", "is taken"),
        ("X", "like Card"),
        ("Plugin", "is taken"),
        ("Panel", "is taken"),
    ],
)
def test_an_entity_that_cannot_be_is_refused(entity: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        Names("acme.loyalty", entity, "Account", "Ann")


def test_only_what_the_template_knows_is_extended(crm: Run) -> None:
    result = crm("plugin", "new", "acme.loyalty", "--extend", "Opportunity", "--no-input")
    assert "choose Account, Contact" in result.stderr


def test_nothing_that_exists_is_overwritten(crm: Run, folder: Path) -> None:
    (folder / "acme-loyalty").mkdir()
    (folder / "acme-loyalty" / "mine.txt").write_text("mine")
    result = crm("plugin", "new", "acme.loyalty", "--no-input")
    assert result.exit_code == 1
    assert "Nothing was written" in result.stderr
    assert [path.name for path in (folder / "acme-loyalty").iterdir()] == ["mine.txt"]


def test_without_a_name_and_without_anybody_to_ask_it_says_what_to_give(crm: Run) -> None:
    assert crm("plugin", "new").exit_code == 2


def test_on_a_terminal_it_asks_for_what_is_not_given(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "crm_core.cli.main", "plugin", "new"]
    process = subprocess.Popen(command, cwd=tmp_path, env={**BARE, "PYTHONPATH": str(ROOT)}, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, b"acme.visits\nVisit\n\nAnn Lee\n")
    assert process.wait(60) == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "What does it keep, in one word like GiftCard? [Entry]" in shown
    assert "class Visit(Entity)" in (tmp_path / "acme-visits" / "acme_visits" / "entities.py").read_text(encoding="utf-8")
    assert "Ann Lee" in (tmp_path / "acme-visits" / "pyproject.toml").read_text(encoding="utf-8")
