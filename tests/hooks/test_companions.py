"""A companion joins two plugins where a CRM has both; each of them boots without the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.entities.customer import Account
from crm_core.events.event import Event
from crm_core.hooks.core_specs import CORE
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from tests.hooks.host import refused

COMPANION = """
from crm_core.hooks.plugin import Plugin
from companion_other import Told

plugin = Plugin("desk.shop", version="1.0", requires={"desk": ">=1,<2", "shop": ">=1,<2"})
nothing = None


@plugin.on(Told)
def listen(session, event):
    pass
"""
OTHER = """
from crm_core.entities.customer import Account
from crm_core.events.event import Event


class Told(Event[Account], name="shop.told"):
    pass
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two modules to import: the other plugin's events, and the companion."""
    (tmp_path / "companion_other.py").write_text(OTHER)
    (tmp_path / "companion_bridge.py").write_text(COMPANION)
    (tmp_path / "companion_broken.py").write_text("import nowhere_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("companion_other", "companion_bridge", "companion_broken"):
        sys.modules.pop(name, None)


def desk(target: str = "companion_bridge:plugin") -> Plugin:
    made = Plugin("desk", version="1.0")
    made.companion(target, beside="shop")
    return made


def shop(version: str = "1.0") -> Plugin:
    import companion_other  # type: ignore[import-not-found]  # written by the fixture

    made = Plugin("shop", version=version)
    told: type[Event[Account]] = companion_other.Told
    made.events(told)
    return made


def names(registry: Registry) -> list[str]:
    return [p.name for p in registry.plugins if p is not CORE]


def test_a_companion_is_loaded_after_the_two_it_joins() -> None:
    registry = Registry([desk(), shop()])
    assert names(registry) == ["desk", "shop", "desk.shop"]
    assert [s.name for s in registry.subscriptions] == ["desk.shop.listen"]


def test_c68_without_the_other_plugin_the_companion_is_not_even_imported() -> None:
    alone = desk()
    registry = Registry([alone])
    assert names(registry) == ["desk"]
    assert registry.subscriptions == ()
    assert "companion_bridge" not in sys.modules


def test_crms_with_and_without_the_other_plugin_share_one_definition() -> None:
    shared = desk()
    both, alone = Registry([shared, shop()]), Registry([shared])
    assert (len(both.subscriptions), len(alone.subscriptions)) == (1, 0)


def test_an_optional_plugin_of_another_version_is_an_error_that_says_so() -> None:
    error = refused(lambda: Registry([desk(), shop("2.0")]))
    assert (error.code, error.params["plugin"], error.params["needed"]) == ("plugin_incompatible", "desk.shop", "shop")


def test_a_companion_that_is_also_passed_is_loaded_once() -> None:
    other = shop()
    import companion_bridge  # type: ignore[import-not-found]  # written by the fixture

    assert names(Registry([desk(), other, companion_bridge.plugin])) == ["desk", "shop", "desk.shop"]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("companion_broken:plugin", "plugin_import_failed"),
        ("companion_bridge:missing", "plugin_import_failed"),
        ("companion_bridge:nothing", "not_a_plugin"),
    ],
)
def test_a_companion_that_cannot_be_loaded_says_why(target: str, code: str) -> None:
    error = refused(lambda: Registry([desk(target), shop()]))
    assert error.code == code
    assert target in str(error)
