"""The Chinese pages show the same programs under the same headings as the English ones, which the tests run."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from crm_core import CRM
from crm_core.hooks.core_specs import CORE
from tools.reference.__main__ import modules

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial"
GLOSSARY = ROOT / "docs" / "reference" / "glossary.zh.md"
PAIRS = [
    (ROOT / "README.md", ROOT / "README.zh.md"),
    *((page, TUTORIAL / "zh" / page.name) for page in sorted(TUTORIAL.glob("*.md")) if page.name != "index.md"),
]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

each_pair = pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page: Path) -> list[tuple[str, str | list[tuple[int, str]]]]:
    """Return what a page shows as code, with its kind; of Python the tokens, since its comments are translated."""
    found = FENCED.findall(page.read_text(encoding="utf-8"))
    return [(kind, tokens(code) if kind in {"python", "py"} else code) for kind, code in found]


def tokens(code: str) -> list[tuple[int, str]]:
    """Return a program's tokens. A comment counts as one, whatever it says, but for the path of a file that a block begins with."""
    first, read = code.partition("\n")[0], tokenize.generate_tokens(io.StringIO(code).readline)
    path = first if re.fullmatch(r"# [\w/]+\.py", first) else ""
    return [(kind, "") if kind == tokenize.COMMENT and said != path else (kind, said) for kind, said, *_ in read]


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def headings(page: Path) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(page), re.MULTILINE)]


def tables(page: Path) -> list[tuple[int, str]]:
    """Return for each row of a page's tables its number of cells, and the code that its first cell names."""
    rows = re.findall(r"^\|(.*)\|$", prose(page), re.MULTILINE)
    return [(row.count("|"), "".join(re.findall(r"`[^`]+`", row.partition("|")[0]))) for row in rows]


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(page))


@each_pair
def test_a_translation_shows_the_same_programs(english: Path, chinese: Path) -> None:
    assert english.read_text(encoding="utf-8").count("```") == 2 * len(blocks(english))
    assert blocks(chinese) == blocks(english)


@each_pair
def test_a_translation_has_the_same_headings_and_tables(english: Path, chinese: Path) -> None:
    assert headings(chinese) == headings(english)
    assert tables(chinese) == tables(english)


@each_pair
def test_a_page_and_its_translation_lead_to_each_other_at_the_top(english: Path, chinese: Path) -> None:
    for page, name, other in ((english, "中文", chinese), (chinese, "English", english)):
        said = page.read_text(encoding="utf-8").splitlines()[2]
        target = re.fullmatch(rf"\[{name}\]\((.*)\)", said)
        assert target, said
        assert (page.parent / target[1]).resolve() == other


@each_pair
def test_a_translation_leads_where_its_page_leads(english: Path, chinese: Path) -> None:
    translated = {there.resolve(): here.resolve() for here, there in [*PAIRS, (GLOSSARY.with_name("glossary.md"), GLOSSARY)]}
    reached = {(chinese.parent / link).resolve() for link in links(chinese)}
    assert [link for link in reached if not link.exists()] == []
    missing = {(english.parent / link).resolve() for link in links(english)} - {translated.get(link, link) for link in reached} - {chinese}
    assert missing == set()


def test_every_line_of_a_translation_that_has_words_is_chinese() -> None:
    """A table of packages and a link have none."""
    for _, chinese in PAIRS:
        plain = re.sub(r"`[^`]*`|\[[^\]]*\]\([^)]*\)|<!--.*?-->|^\|.*\|$", "", prose(chinese), flags=re.MULTILINE)
        said = [line for line in plain.splitlines() if re.search(r"[a-z]+ [a-z]+ [a-z]+", line)]
        assert [line for line in said if not re.search(r"[\u4e00-\u9fff]", line)] == []


def glossary() -> list[tuple[str, str, str]]:
    """Return the Chinese glossary's terms: the name of the entity where it is one, its Chinese word, and its English one."""
    rows = re.findall(r"^\| ([^`|]+?)(?: `([a-z_.]+)`)? \| ([^|]+) \|", prose(GLOSSARY), re.MULTILINE)
    return [(name, own, other) for own, name, other in rows if own != "术语"]


def test_the_glossary_has_the_words_by_which_a_user_knows_them() -> None:
    crm = CRM("sqlite://", plugins=[plugin for plugin in modules() if plugin is not CORE])
    en, zh = crm.labels("en"), crm.labels("zh")
    crm.close()
    entities = [each for each in glossary() if each[0]]
    assert entities
    assert entities == [(name, zh[name], en[name]) for name, _, _ in entities]
