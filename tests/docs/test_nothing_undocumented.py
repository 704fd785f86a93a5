"""What the core and its modules offer has a sentence in the reference, and is used by an example that runs or by a test."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import attrs
import click
import pytest

from crm_core import CRMError, Plugin, errors
from crm_core.entities.meta import extension_fields, spec
from crm_core.events.event import event_kind
from crm_core.hooks.core_specs import CORE
from crm_core.messages import CORE as CORE_CATALOGUES
from crm_core.messages import Messages
from crm_core.permissions.roles import ACTIONS
from crm_core.testing.conformance.wording import codes_in
from tests.docs.uses import Uses, uses
from tools.reference.__main__ import modules
from tools.reference.commands import commands
from tools.reference.fields import in_prose, meaning
from tools.reference.markdown import prose, section
from tools.reference.plugins import hook_said, permissions

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
EXAMPLES = [
    *(path.read_text(encoding="utf-8") for path in (ROOT / "examples").rglob("*.py")),
    *(block for page in PAGES for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)),
]
ERRORS = {c.__name__: c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, CRMError)}


# What is reached only past another refusal, between two processes, or from a damaged database; no program of ours names it.
NEEDS_A_FAULT = {
    "error adopted_no_sequence": "a host's table without a default for its key",
    "error adopted_sealed": "an entity with sealed fields on a host's table",
    "error analytics.no_date": "a metric without a date; no module of ours has one",
    "error changed_meanwhile": "a plugin that writes the record which is being written, past the pipeline",
    "error custom_too_many": "several hundred fields of one entity",
    "error entity_not_readable": "the lens itself; sessions find nothing before it is asked",
    "error erp_bridge.cursor_stuck": "an ERP that answers the same page for ever",
    "error event_bad_payload": "a journal that was edited",
    "error event_missing": "a journal of a plugin that is gone",
    "error marketing.contended": "two processes on one segment, again and again",
    "error masked_only_listed": "the lens itself; sessions refuse the field before",
    "error not_a_list": "the lens itself; columns of other kinds have no has()",
    "error not_an_entity": "a declaration that type checkers refuse",
    "error not_preloaded": "a record read with another query than the one that is asked",
    "error no_rates": "a core without the entity of its rates",
    "error ref_target_missing": "a plugin that names another's entity and does not require it",
    "error link_target_missing": "a plugin that links another's entity and does not require it",
    "error sales.intake_contended": "two processes on one lead, again and again",
    "error sales.no_pipeline": "two processes that make the first pipeline, again and again",
    "error statement_not_understood": "a statement that passes the guard and the compiler cannot write",
    "error system_field_changed": "a hook that writes system fields past their read-only attribute",
    "field erp_bridge.binding.*": "the bridge's own books, which its tests read through their effects",
    "field erp_bridge.outbound.*": "the same",
    "field erp_bridge.run.ended_at": "the same",
    "field erp_bridge.payment.base_amount": "what an ERP says; the connectors of the tests say the amount alone",
    "entity erp_bridge.lease": "the same",
}


@cache
def used_by(owner: str) -> Uses:
    """Return what the examples name, and the tests: a module's own and those of sessions; for the core, all."""
    folders = [ROOT / "tests" / name for name in ((owner, "session") if owner else ("",))]
    tests = [path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py") if path.parent.name != "docs"]
    return uses([*EXAMPLES, *tests])


@attrs.frozen
class Offered:
    """What it is, what is said of it, by which of *names* programs use it, and whose tests do.

    What a module keeps for itself alone, and its ``api`` does not name, has no names: nobody uses it but the module.
    """

    what: str
    said: str
    names: frozenset[str]
    owner: str = ""
    template: str = ""

    @property
    def used(self) -> bool:
        if not self.names:
            return True
        programs = used_by(self.owner)
        return bool(self.names & programs.names) or bool(self.template and programs.say(self.template))


def offered(plugin: Plugin) -> Iterator[Offered]:
    """Yield what a plugin offers. A module's hook is there for other modules, and what the core has is used everywhere."""
    d, owner = plugin.definitions, "" if plugin.name == "core" else plugin.name
    words = Messages(CORE_CATALOGUES if plugin.name == "core" else d.catalogues)
    for hook in d.hooks:
        yield Offered(f"hook {hook.name}", hook_said(hook, modules()[plugin]), frozenset({hook.name, hook.name.rpartition(".")[2]}))
    for event in d.events:
        named = frozenset({event.__name__, event.__event_name__, event_kind(event)})
        yield Offered(f"event {event_kind(event)}", prose(event.__doc__), named, owner)
    for action in d.actions:
        said = prose(action.command.__doc__) if words.template(action.label) else ""
        yield Offered(f"action {action.name}", said, frozenset({action.command.__name__, action.name}), owner)
    for permission, allows in permissions(plugin).items():
        yield Offered(f"permission {permission}", allows, frozenset({permission}), owner)
    for role in d.roles:
        yield Offered(f"role {role.name}", words.template(role.label) or "", frozenset({role.name}), owner)
    if plugin.settings is not None:
        said_of = section(plugin.settings.__doc__, "Attributes")
        for setting in attrs.fields(plugin.settings):
            yield Offered(f"setting {plugin.name}.{setting.name}", said_of.get(setting.name, ""), frozenset({setting.name}), owner)
    for entity in d.entities:
        public = plugin.name == "core" or hasattr(importlib.import_module(f"{modules()[plugin]}.api"), entity.__name__)
        named = frozenset({entity.__name__, spec(entity).name})
        yield Offered(f"entity {spec(entity).name}", prose(entity.__doc__), named if public else frozenset(), owner)
        for field in spec(entity).fields.values():
            if not field.system:
                yield _field(entity, spec(entity).name, field.name, owner, public=public)
    for _, extension in d.extensions:
        for field in extension_fields(extension).values():
            yield _field(extension, extension.__name__, field.name, owner)
    for code in sorted(raised(plugin)):
        classes = {name for name, error in ERRORS.items() if error.default_code == code}
        yield Offered(f"error {code}", words.template(code) or "", frozenset({code, *classes}), owner, words.template(code) or "")


def _field(entity: type, called: str, name: str, owner: str, *, public: bool = True) -> Offered:
    said = meaning(entity, name) or (prose(entity.__doc__) if in_prose(entity, name) else "")
    return Offered(f"field {called}.{name}", said, frozenset({name}) if public else frozenset(), owner)


def raised(plugin: Plugin) -> set[str]:
    """Return the error codes that a plugin, or the core, raises, by the syntax of its modules."""
    package = "crm_core" if plugin.name == "core" else modules()[plugin]
    (place,) = importlib.import_module(package).__path__
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in Path(place).rglob("*.py"))
    own = {error.default_code for error in ERRORS.values()} if plugin.name == "core" else set()
    known = {code for tree in trees for code, _ in codes_in(tree)}
    return own | known if plugin.name == "core" else {code for code in known if code.startswith(f"{plugin.name}.")}


def on_the_command_line() -> Iterator[Offered]:
    for name, command in commands().items():
        yield Offered(f"crm {name}", prose(command.help), frozenset(name.split()[-1:]))
        for option in command.params:
            if isinstance(option, click.Option):
                yield Offered(f"crm {name} {option.opts[0]}", option.help or "", frozenset(option.opts))


def everywhere() -> list[Offered]:
    actions = [Offered(f"permission {name}", name, frozenset({name}), "permissions") for name in ACTIONS]
    return [*(each for plugin in modules() for each in offered(plugin)), *actions, *on_the_command_line()]


@pytest.fixture(scope="module")
def all_offered() -> list[Offered]:
    return everywhere()


def test_the_list_of_what_is_offered_is_made_from_the_code(all_offered: list[Offered]) -> None:
    kinds = {each.what.partition(" ")[0] for each in all_offered}
    assert kinds == {"hook", "event", "action", "permission", "role", "setting", "entity", "field", "error", "crm"}
    assert len(all_offered) > 1_200
    assert CORE in modules()


def test_all_that_is_offered_has_a_sentence(all_offered: list[Offered]) -> None:
    assert sorted(each.what for each in all_offered if not each.said.strip()) == []


def test_all_that_is_offered_is_used_by_an_example_or_a_test(all_offered: list[Offered]) -> None:
    unused = {each.what for each in all_offered if not each.used}
    spared = {what for what in unused if any(fnmatchcase(what, pattern) for pattern in NEEDS_A_FAULT)}
    assert sorted(unused - spared) == []
    assert [pattern for pattern in NEEDS_A_FAULT if not any(fnmatchcase(what, pattern) for what in unused)] == [], "now used: take it off"


def test_a_comment_and_a_docstring_are_no_use() -> None:
    found = uses(['"""Tells of frobnicate."""\n# frobnicate\ndef f():\n    """frobnicate"""\n    use(code="bad_thing", at=x.y)\n'])
    assert found.names == {"use", "code", "bad_thing", "at", "x", "y"}


@pytest.mark.parametrize(
    ("text", "spoken"), [("There is no hook nonsense.", True), ("crm hooks lists them", True), ("of nothing at all", False)]
)
def test_a_message_is_known_by_its_words(text: str, spoken: bool) -> None:
    assert uses([f"say({text!r})"]).say("There is no hook {given}. crm hooks lists them.") is spoken
