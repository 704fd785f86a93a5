"""Which plugins load, in which order, and what is said when they cannot."""

from __future__ import annotations

import sys
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.hooks.core_specs import CORE
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.hooks.spec import Ctx, FilterHook
from tests.hooks.host import names, plugin, refused


def test_plugins_load_after_those_they_require_and_else_as_given() -> None:
    a, b, c, d = plugin("a", b=">=1"), plugin("b", c=""), plugin("c"), plugin("d")
    assert names(Registry([a, b, c, d])) == ["c", "b", "a", "d"]
    assert names(Registry([d, a, c, b])) == ["d", "c", "b", "a"]
    assert Registry([a, b, c]).plugins[0] is CORE


def test_permutations_of_the_list_give_the_same_plugins() -> None:
    made = [plugin("a"), plugin("b", a=""), plugin("c", b="")]
    assert {tuple(names(Registry(p))) for p in permutations(made)} == {("a", "b", "c")}


@given(st.data())
def test_every_closed_subset_of_plugins_boots_in_an_order_that_respects_the_requirements(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 7))
    order = data.draw(st.permutations(range(count)))
    edges = {(a, b) for a, b in combinations(range(count), 2) if data.draw(st.booleans())}
    made = [plugin(f"p{n}", **{f"p{b}": ">=1" for a, b in edges if a == n}) for n in range(count)]
    given_order = [made[n] for n in order]
    loaded = names(Registry(given_order))
    assert sorted(loaded) == sorted(p.name for p in made)
    assert all(loaded.index(f"p{b}") < loaded.index(f"p{a}") for a, b in edges)
    if not edges:
        assert loaded == [p.name for p in given_order]


def test_the_core_can_be_required_like_a_plugin() -> None:
    assert names(Registry([plugin("a", core=">=0.1")])) == ["a"]
    error = refused(lambda: Registry([plugin("a", core=">=99")]))
    assert error.code == "plugin_incompatible"


def test_a_missing_requirement_says_what_which_version_and_what_to_do() -> None:
    error = refused(lambda: Registry([plugin("acme.loyalty", sale=">=1,<2"), plugin("sales")]))
    assert error.code == "plugin_missing"
    assert str(error) == "acme.loyalty needs sale >=1,<2, which is not loaded. Add it to the CRM's plugins. Did you mean sales?"


def test_an_incompatible_requirement_says_which_version_is_there() -> None:
    error = refused(lambda: Registry([plugin("a", sales=">=2"), plugin("sales", "1.4.1")]))
    assert error.code == "plugin_incompatible"
    assert str(error).startswith("a needs sales >=2. 1.4.1 is there")


def test_requirements_in_a_circle_are_shown() -> None:
    error = refused(lambda: Registry([plugin("x"), plugin("a", b=""), plugin("b", c=""), plugin("c", a="")]))
    assert error.code == "plugin_circle"
    assert error.params["chain"] == "a → b → c → a"


@pytest.mark.parametrize("twin", [lambda a: a, lambda a: plugin("a", "2.0"), lambda a: a.configured()])
def test_two_plugins_of_one_name_do_not_load(twin: Any) -> None:
    a = plugin("a")
    error = refused(lambda: Registry([a, twin(a)]))
    assert error.code == "plugin_twice"
    assert "called a" in str(error)


@pytest.mark.parametrize("name", ["", "A", "a b", "a.", ".a", "1a", "a..b", "a-b", "ä", "a\n", "core ", None, 5])
def test_a_name_that_is_not_lower_case_words_with_dots_is_refused(name: Any) -> None:
    assert refused(lambda: Registry([Plugin(name, version="1")])).code == "plugin_bad_name"


@pytest.mark.parametrize("version", ["", "one", "1.", None, "1.0.0-beta"])
def test_a_version_that_is_none_is_refused(version: Any) -> None:
    assert refused(lambda: Registry([Plugin("a", version=version)])).code == "bad_version"


def test_a_bad_range_is_refused() -> None:
    assert refused(lambda: Registry([plugin("a", b="about 1"), plugin("b")])).code == "bad_version_range"


def test_what_is_not_a_plugin_is_refused_with_what_to_pass() -> None:
    error = refused(lambda: Registry([sys]))  # type: ignore[list-item]  # the mistake under test
    assert error.code == "not_a_plugin"
    assert "crm_sales.plugin" in str(error)


def test_a_definition_is_shared_by_registries_and_none_changes_it() -> None:
    a, b = plugin("a"), plugin("b", a="")
    hook: FilterHook[Ctx, list[int]] = FilterHook("a.hook")
    a.hooks(hook)

    @b.hook(hook)
    def add(ctx: Ctx, value: list[int]) -> list[int]:
        return value

    alone, both = Registry([a]), Registry([a, b])
    assert (len(alone.plan(hook)), len(both.plan(hook))) == (0, 1)
    assert alone.manager is not both.manager


def test_a_plugin_equals_only_itself() -> None:
    a = plugin("a")
    assert a == a
    assert a != plugin("a")
    assert len({a, plugin("a")}) == 2
    assert repr(a) == "Plugin('a', version='1.0')"


def test_every_load_error_is_worded_in_both_languages() -> None:
    errors = [refused(lambda: Registry([plugin("a", b="")])), refused(lambda: Registry([plugin("a"), plugin("a")]))]
    for error in errors:
        assert error.message("zh") != error.message("en")
        assert error.code not in error.message("zh")
