"""What the core and its modules offer has a sentence in the reference, and is used by an example that runs or by a test."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import attrs
import click
import pytest

from crm_core import CRMError, Plugin, errors
from crm_core.entities.meta import extension_fields, spec
from crm_core.events.event import event_kind
from crm_core.hooks.core_specs import CORE
from crm_core.messages import Messages, core_catalogues
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
    printed: bool = False

    @property
    def used(self) -> bool:
        """Whether a program uses it as a thing of its kind is used: an import of it, or its name in a sentence, is no use."""
        if not self.names:
            return True
        programs = used_by(self.owner)
        match self.what.partition(" ")[0]:
            case "error":  # asserted by its code, or by the class that has no other; what commands alone say, by the words that people read
                found = programs.texts | programs.classes
                return bool(self.names & found) or (self.printed and programs.say(self.template))
            case "permission":  # refused to somebody
                found = programs.refusals
            case "setting":  # set
                found = programs.given
            case "role":
                found = programs.texts
            case "crm":  # a word of a command line
                found = programs.words
            case _:  # read, called, subscribed to, asserted
                found = programs.names | programs.given | programs.texts
        return bool(self.names & found)


def offered(plugin: Plugin) -> Iterator[Offered]:
    """Yield what a plugin offers. A module's hook is there for other modules, and what the core has is used everywhere."""
    d, owner = plugin.definitions, "" if plugin.name == "core" else plugin.name
    words = Messages(core_catalogues() if plugin.name == "core" else d.catalogues)
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
    codes = raised(plugin)
    for code in sorted(codes):
        classes = {name for name, error in ERRORS.items() if error.default_code == code}
        said = words.template(code) or ""
        yield Offered(f"error {code}", said, frozenset({code, *classes}), owner, said, printed=codes[code])


def _field(entity: type, called: str, name: str, owner: str, *, public: bool = True) -> Offered:
    said = meaning(entity, name) or (prose(entity.__doc__) if in_prose(entity, name) else "")
    return Offered(f"field {called}.{name}", said, frozenset({name}) if public else frozenset(), owner)


def raised(plugin: Plugin) -> dict[str, bool]:
    """Return the error codes that a plugin, or the core, raises, by the syntax of its modules; and whether commands alone do."""
    package = "crm_core" if plugin.name == "core" else modules()[plugin]
    (place,) = importlib.import_module(package).__path__
    own = {error.default_code for error in ERRORS.values()} if plugin.name == "core" else set()
    found = dict.fromkeys(own, False)
    for path in Path(place).rglob("*.py"):
        command = path.parent.name == "cli" or path.name == "command.py"
        for code, _ in codes_in(ast.parse(path.read_text(encoding="utf-8"))):
            if plugin.name == "core" or code.startswith(f"{plugin.name}."):
                found[code] = command and found.get(code, True)
    return found


def on_the_command_line() -> Iterator[Offered]:
    for name, command in commands().items():
        yield Offered(f"crm {name}", prose(command.help), frozenset(name.split()[-1:]))
        for option in command.params:
            if isinstance(option, click.Option):
                yield Offered(f"crm {name} {option.opts[0]}", option.help or "", frozenset(option.opts))


def everywhere() -> list[Offered]:
    actions = [Offered(f"permission {name}", name, frozenset({name})) for name in ACTIONS]
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
    assert sorted(each.what for each in all_offered if not each.used) == []


PROGRAM = '''"""Tells of frobnicate."""
from x import imported
# frobnicate
def f():
    """frobnicate"""
    use(code="bad_thing", at=x.y)
    change({"size": 3})
def g():
    with raises(Denied):
        use(Close)
'''


def test_a_comment_a_docstring_and_an_import_are_no_use() -> None:
    found = uses([PROGRAM])
    assert found.names == {"use", "x", "y", "change", "raises", "Denied", "Close"}
    assert (set(found.given), set(found.texts)) == ({"code", "at", "size"}, {"bad_thing", "size"})
    assert found.refusals == {"raises", "Denied", "use", "Close"}


@pytest.mark.parametrize(
    ("text", "spoken"), [("There is no hook nonsense.", True), ("crm hooks lists them", True), ("of nothing at all", False)]
)
def test_a_message_is_known_by_its_words(text: str, spoken: bool) -> None:
    assert uses([f"say({text!r})"]).say("There is no hook {given}. crm hooks lists them.") is spoken
