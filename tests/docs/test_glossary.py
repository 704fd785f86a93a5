"""The glossary is in order, and what it and the cookbook's list point at is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
GLOSSARY = DOCS / "reference" / "glossary.md"
COOKBOOK = DOCS / "cookbook"
ENTRIES = re.findall(r"^- \*\*(.+?)\*\*: (.+)$", GLOSSARY.read_text(encoding="utf-8"), re.M)


@cache
def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S), re.M)


def anchor(heading: str) -> str:
    """Return what a heading is called in an address, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def dead(page: Path) -> list[str]:
    """Return the links of a page whose file or heading is not there."""

    def leads(target: str) -> bool:
        path, _, part = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        return found.is_file() and (not part or part in map(anchor, headings(found)))

    targets = re.findall(r"\]\(((?!https?:)[^)]+)\)", page.read_text(encoding="utf-8"))
    return [target for target in targets if not leads(target)]


def test_terms_are_sorted_and_each_is_there_once() -> None:
    terms = [term.casefold() for term, _ in ENTRIES]
    assert len(terms) > 60
    assert terms == sorted(set(terms))


def test_each_line_is_a_term_with_a_link() -> None:
    lines = [line for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if line.startswith("-")]
    assert len(lines) == len(ENTRIES)
    assert [term for term, text in ENTRIES if not re.search(r"\]\([^)]+\)$", text)] == []


@pytest.mark.parametrize("page", [GLOSSARY, DOCS / "how-to" / "upgrade.md", *sorted(COOKBOOK.glob("*.md"))], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead(page) == []


def test_the_cookbook_lists_each_of_its_recipes() -> None:
    listed = re.findall(r"^- \[(.+)\]\((.+)\)$", (COOKBOOK / "index.md").read_text(encoding="utf-8"), re.M)
    pages = [COOKBOOK / name for name in ("application.md", "plugin.md", "data.md")]
    recipes = [(heading, f"{page.name}#{anchor(heading)}") for page in pages for heading in headings(page)[1:]]
    assert len(recipes) >= 20
    assert listed == recipes
