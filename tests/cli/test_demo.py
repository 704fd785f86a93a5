"""``crm demo`` through the command line: what README shows is what it prints; ``--seed`` and ``--db`` do what they say."""

from __future__ import annotations

import contextlib
import importlib
import re
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from crm_core import CRM, Account, Actor
from crm_core.testing.databases import PostgresDatabases
from crm_demo.command import demo
from crm_demo.company import TENANT
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
SHOWN = re.findall(r"<!-- demo: begin -->\n\n```text\n(.*?)```\n\n<!-- demo: end -->", (ROOT / "README.md").read_text("utf-8"), re.S)[0]
# The year's tables. Their rows are the whole year's, which no test has the time for; the story and the words are any run's.
TABLES = ("Pipeline by stage", "Forecast in EUR, open deals at today's rates, closed ones at theirs", "Promised times kept")


@pytest.fixture(autouse=True)
def with_the_demo(tmp_path: Path, installed: None) -> None:
    """Have the demonstration's entry point, also where the project is only on the path."""
    (tmp_path / "site" / "some_vendor-1.0.dist-info" / "entry_points.txt").write_text("[crm.commands]\ndemo = crm_demo.command:demo\n")
    importlib.invalidate_caches()


def sections(text: str) -> dict[str, list[str]]:
    """Return the parts of what is printed, by their headings."""
    parts = (part.splitlines() for part in text.strip().split("\n\n"))
    return {lines[0]: [line.rstrip() for line in lines[1:]] for lines in parts}


def counted(line: str) -> str:
    return re.sub(r"\d+", "N", line)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the demonstration was run as README says, but for a day only, and what it printed."""
    here = tmp_path_factory.mktemp("demo")
    with contextlib.chdir(here):
        run = CliRunner().invoke(demo, ["--days", "1"])
    assert run.exit_code == 0, run.output
    return here, run.output


def test_readme_shows_what_the_demo_prints(played: tuple[Path, str]) -> None:
    here, output = played
    shown, printed = sections(SHOWN), sections(output)
    assert list(map(counted, shown)) == list(map(counted, printed))
    for title, lines in shown.items():
        if title in TABLES:
            assert lines[0].split() == printed[title][0].split(), title
        elif title in printed:
            assert lines == printed[title], title
    [rate] = [line for line in printed[TABLES[0]] if line.startswith("Won ")]
    assert counted(rate) == counted(shown[TABLES[0]][-1])
    assert {path.name for path in here.iterdir()} >= {"crm-demo.db", "crm-demo.html"}


def test_the_figures_in_readme_agree_with_each_other() -> None:
    shown = sections(SHOWN)
    deals: dict[str, int] = {}
    for stage, count, *_ in map(str.split, shown[TABLES[0]][1:-1]):
        deals[stage] = deals.get(stage, 0) + int(count)
    won, lost, percent = re.findall(r"[\d.]+", shown[TABLES[0]][-1])[:3]
    assert (deals["won"], deals["lost"]) == (int(won), int(lost))
    assert Decimal(percent) == round(Decimal(100 * int(won)) / (int(won) + int(lost)), 2)
    assert f" {sum(deals.values())} deals," in list(shown)[-1]
    for line in shown[TABLES[2]][1:]:
        met, breached, share = line.split()[-3:]
        assert Decimal(share) == round(Decimal(100 * int(met)) / (int(met) + int(breached)), 1)


def accounts(url: str) -> dict[str, str]:
    crm = CRM(url)
    with crm.session(Actor.system("look", tenant=TENANT), write=False) as s:
        found = {a.name: a.id for a in s.query(Account).all()}
    crm.close()
    return found


def test_another_seed_on_postgresql_makes_another_company_and_keeps_to_it(
    crm: Run, folder: Path, postgres_databases: PostgresDatabases, played: tuple[Path, str]
) -> None:
    database = postgres_databases.create()
    options = ("demo", "--days", "1", "--db", database.url)
    run = crm(*options, "--seed", "11", "--report", "eleven.html")
    assert run.exit_code == 0, run.output
    assert (folder / "eleven.html").exists()
    again = crm(*options, "--seed", "12", "--report", "twelve.html")
    assert (again.exit_code, "--seed 11" in again.output) == (1, True), again.output
    others, ours = accounts(f"sqlite:///{played[0] / 'crm-demo.db'}"), accounts(database.url)
    assert ours.keys() & others.keys(), "the story's customer is in both"
    assert not set(ours.values()) & set(others.values())
    postgres_databases.drop(database)
