"""Each module as a whole: what it declares is documented and in its api, and is worded in English and Chinese alike."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import pytest

from crm_core import Plugin

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"
PAGES = {"analytics": "analytics", "erp_bridge": "erp", "marketing": "marketing", "sales": "sales", "service": "service"}
INTERNAL = {"NumberSeries", "Rotation"}  # of sales: kept under a lock, written by its services alone

each_module = pytest.mark.parametrize("module", PAGES)


def plugin_of(module: str) -> Plugin:
    found: Plugin = import_module(f"crm_{module}").plugin
    return found


def declared(module: str) -> list[Any]:
    """Return the classes that others use."""
    d = plugin_of(module).definitions
    classes = [*d.entities, *d.events, *d.services, *(a.command for a in d.actions), *(extension for _, extension in d.extensions)]
    return [each for each in classes if each.__name__ not in INTERNAL]


def names(module: str) -> set[str]:
    """Return what is declared, by the names that people write."""
    d, settings = plugin_of(module).definitions, plugin_of(module).settings
    assert settings is not None
    found = {each.__name__ for each in declared(module)} | {f.name for f in attrs.fields(settings)}
    found |= {import_module(target.partition(":")[0]).plugin.name for target, _ in d.companions}
    named: list[Any] = [*d.roles, *d.jobs, *d.hooks]
    return found | {each.name for each in named} | {a.permission for a in d.actions}


@each_module
def test_everything_a_module_declares_is_in_its_how_to(module: str) -> None:
    text = (HOW_TO / f"{PAGES[module]}.md").read_text(encoding="utf-8")
    assert {name for name in names(module) if f"`{name}`" not in text} == set()


@each_module
def test_everything_a_module_declares_for_others_is_in_its_api(module: str) -> None:
    api = import_module(f"crm_{module}.api")
    assert {each.__name__ for each in declared(module)} <= set(api.__all__)
    assert sorted(api.__all__) == api.__all__
    assert all(getattr(api, hook.name.rpartition(".")[2]) is hook for hook in plugin_of(module).definitions.hooks)


@each_module
def test_a_module_s_panels_say_what_they_read_so_that_nobody_is_shown_an_empty_one(module: str) -> None:
    panels = plugin_of(module).definitions.panels
    assert [panel.name for panel in panels if not panel.reads] == []
    assert panels


@each_module
def test_a_module_s_messages_are_sorted_and_have_the_same_parameters_in_both_languages(module: str) -> None:
    english, chinese = ({c.locale: c.templates for c in plugin_of(module).definitions.catalogues}[locale] for locale in ("en", "zh"))
    assert list(english) == sorted(english) == list(chinese)
    parameters = re.compile(r"\{(\w+)\}")
    assert {c for c in english if set(parameters.findall(english[c])) != set(parameters.findall(chinese[c]))} == set()
