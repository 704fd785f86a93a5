"""The promises that README, pyproject.toml and the other documents make."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_quick_start_is_two_lines_to_paste() -> None:
    section = README.split("## Quick start\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.S)
    assert [block.count("\n") for block in blocks] == [1, 1]
    assert blocks[0].endswith("crm demo\n")
    assert "pytest" in blocks[1]
    assert README.count("```sh\n") == 2


def test_the_core_has_six_dependencies() -> None:
    names = [re.split(r"[\[<>=~!]", requirement)[0] for requirement in PROJECT["dependencies"]]
    assert names == ["alembic", "attrs", "cattrs", "cryptography", "pluggy", "sqlalchemy"]


def test_the_extra_all_holds_every_extra_but_those_of_the_tests() -> None:
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.findall(r"\w+", everything.split("[")[1])) == set(extras) - {"all", "test"}


def test_readme_names_every_extra() -> None:
    assert set(re.findall(r"^\| `(?!crm_)(\w+)` \|", README, re.M)) == {*PROJECT["optional-dependencies"]} - {"test"}


def test_each_link_of_the_documents_leads_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in documents for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))]
    assert links
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []


def test_each_decision_is_listed_and_says_context_decision_evidence_and_consequence() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(folder.glob("[0-9]*.md"))
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "index.md").read_text(encoding="utf-8"))
    assert listed == [record.name for record in records]
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        assert re.findall(r"^\*\*(\w+)\.\*\*", record.read_text(encoding="utf-8"), re.M) == [
            "Context",
            "Decision",
            "Evidence",
            "Consequence",
        ]


def test_the_changelog_begins_with_this_version_and_says_what_is_in_it() -> None:
    _, newest, *_ = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")
    title, _, text = newest.partition("\n")
    assert title.startswith(PROJECT["version"])
    assert re.findall(r"^\*\*[^*]+\*\*", text, re.M)
