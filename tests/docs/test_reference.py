"""The reference says what the code says; and what the code offers is documented and tested."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import attrs
import pytest

from crm_core import Plugin
from crm_core.events.event import event_kind
from crm_core.permissions.roles import ACTIONS
from tools.reference.__main__ import BY_HAND, REFERENCE, modules, pages
from tools.reference.commands import commands
from tools.reference.plugins import permissions

ROOT = Path(__file__).resolve().parents[2]
DOCS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md")))


@cache
def its_tests(owner: str) -> str:
    """Return the text of a module's own tests and of those of sessions, which try each permission; for the core, of all tests."""
    folders = [ROOT / "tests" / name for name in ((owner, "session") if owner else ("",))]
    paths = sorted(path for folder in folders for path in folder.rglob("*.py") if path != Path(__file__))
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def offered() -> Iterator[tuple[str, str, str, str]]:
    """Yield what core and modules offer: its kind, how the documents call it, the name that a test uses, and whose tests those are.

    A module's hook is there for other modules, and what the core has is used everywhere.
    """
    for plugin in modules():
        yield from ((kind, said, used, "" if plugin.name == "core" or kind == "hook" else plugin.name) for kind, said, used in _of(plugin))
    yield from (("permission", action, action, "permissions") for action in ACTIONS)
    yield from (("command", f"crm {name}", name.rpartition(" ")[2], "") for name in commands())


def _of(plugin: Plugin) -> Iterator[tuple[str, str, str]]:
    d = plugin.definitions
    yield from (("hook", hook.name, hook.name.rpartition(".")[2]) for hook in d.hooks)
    yield from (("event", event_kind(event), f"{event.__name__}|{event.__event_name__}") for event in d.events)
    yield from (("action", action.name, action.command.__name__) for action in d.actions)
    yield from (("permission", name, name) for name in permissions(plugin))
    yield from (("role", role.name, role.name) for role in d.roles)
    if plugin.settings is not None:
        yield from (("setting", a.name, a.name) for a in attrs.fields(plugin.settings))


def test_the_reference_is_what_the_code_says_now() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md") if path.name not in BY_HAND}
    made = pages()
    stale = sorted(name for name in {*written, *made} if written.get(name) != made.get(name))
    assert stale == [], "run: python -m tools.reference"


@pytest.mark.parametrize(("kind", "said", "used", "owner"), list(offered()), ids=lambda part: part)
def test_everything_offered_is_documented_and_tested(kind: str, said: str, used: str, owner: str) -> None:
    assert re.search(rf"`{re.escape(said)}[ `]", DOCS), f"no page of docs/ mentions the {kind} {said}"
    assert re.search(rf"(?<!\w)({used})(?!\w)", its_tests(owner)), f"no test of tests/{owner} uses the {kind} {used}"
