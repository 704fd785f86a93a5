"""The reference says what the code says."""

from __future__ import annotations

import re

from crm_core.contracts.document import read
from crm_core.hooks.core_specs import CORE
from tools.reference.__main__ import BY_HAND, REFERENCE, modules, pages

# What a module says in a table or a command's answer, and what nobody raises.
WORDS = re.compile(r"\w+\.((cli|column|send)[._]\w+|(\w+\.)?label)")


def test_the_reference_is_what_the_code_says_now() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md") if path.name not in BY_HAND}
    made = pages()
    stale = sorted(name for name in {*written, *made} if written.get(name) != made.get(name))
    assert stale == [], "run: python -m tools.reference"


def test_the_page_of_a_module_has_every_code_that_can_go_wrong() -> None:
    made = pages()
    for plugin, package in modules().items():
        codes = {} if plugin is CORE else (read(package) or {})["errors"]
        lacking = [code for code in codes if f"| `{code}` |" not in made[f"{plugin.name}.md"]]
        assert [code for code in lacking if not WORDS.fullmatch(code)] == []
