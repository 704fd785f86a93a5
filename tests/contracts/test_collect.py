"""What is collected of a plugin: ours are as their ``plugin.json`` says; marks of what goes away and what may still change."""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import attrs
import pytest

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import Account, CRMDeprecationWarning, Ctx, Entity, Event, Field, LoadError, Plugin, Session, VetoHook
from crm_core.contracts.collect import collect, package_of
from crm_core.contracts.compare import differences
from crm_core.contracts.document import place, read, text
from crm_core.contracts.payloads import keep
from crm_core.hooks.core_specs import CORE
from crm_core.hooks.registry import Registry
from crm_core.messages import Messages

OURS = [crm_analytics.plugin, crm_erp_bridge.plugin, crm_marketing.plugin, crm_sales.plugin, crm_service.plugin]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(OURS)


@pytest.mark.parametrize("plugin", [CORE, *OURS], ids=lambda plugin: plugin.name)
def test_what_ours_promise_is_what_is_locked(registry: Registry, plugin: Plugin) -> None:
    """A change that is meant is written by ``crm plugin lock core analytics erp_bridge marketing sales service``."""
    locked, now = read(package_of(plugin)), collect(registry, plugin)
    assert locked
    assert [difference.words(Messages()) for difference in differences(locked, now)] == []
    keep(registry, plugin, now, locked)
    path = place(package_of(plugin))
    assert path
    assert path.read_text(encoding="utf-8") == text(now)


def test_every_public_name_of_ours_is_in_the_contract(registry: Registry) -> None:
    document = collect(registry, crm_sales.plugin)
    assert document["api"]["Sales"]["win"].startswith("(deal: ")
    assert document["hooks"]["sales.price_lines"]["type"] == "FilterHook[PriceContext, list[PriceLine]]"
    assert "unit_price" in document["hooks"]["sales.price_lines"]["value"]
    assert document["events"]["sales.opportunity_won"]["fields"]["amount"] == "Money"
    assert document["entities"]["sales.opportunity"]["table"] == "sales_opportunity"


def test_a_package_that_is_not_there_has_no_place() -> None:
    assert place("no_such_package_x") is None
    assert place("") is None
    assert read("no_such_package_x:plugin") is None


# ------------------------------------------------------------------ what goes away, and what may still change


def fleet() -> tuple[Plugin, dict[str, Any]]:
    """A plugin that marks some of its things."""
    plugin = Plugin("fleet", version="1.0", package="crm_fleet_x")

    class Vessel(Entity):
        name: Field[str]

    class Sailed(Event[Vessel], name="fleet.sailed", version=1):
        port: str

    @plugin.deprecated(replacement="miles", end="2027.05")
    def leagues(distance: int) -> int:
        """How far in leagues."""
        return distance // 3

    @plugin.experimental
    def miles(distance: int) -> int:
        return distance

    @plugin.deprecated(replacement="Register", end="2027.06")
    @attrs.define
    class Enlist:
        name: str

    may_sail: VetoHook[Ctx, list[Vessel]] = VetoHook("fleet.may_sail")
    plugin.entities(Vessel)
    plugin.events(plugin.deprecated(replacement="fleet.departed", end="2027.05")(Sailed))
    plugin.hooks(plugin.deprecated(replacement="fleet.may_depart", end="2027.05")(may_sail))
    return plugin, {"Vessel": Vessel, "Sailed": Sailed, "leagues": leagues, "miles": miles, "Enlist": Enlist, "may_sail": may_sail}


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> tuple[Plugin, dict[str, Any]]:
    """The plugin and its api, as if they stood in a package."""
    plugin, names = fleet()
    package, api = types.ModuleType("crm_fleet_x"), types.ModuleType("crm_fleet_x.api")
    vars(api).update({**names, "__all__": sorted(names), "__spec__": types.SimpleNamespace(name="crm_fleet_x.api")})
    vars(package).update({"api": api, "__path__": []})
    monkeypatch.setitem(sys.modules, "crm_fleet_x", package)
    monkeypatch.setitem(sys.modules, "crm_fleet_x.api", api)
    return plugin, names


def test_the_contract_names_what_goes_away_and_what_may_still_change(marked: tuple[Plugin, dict[str, Any]]) -> None:
    plugin, _ = marked
    document = collect(Registry([plugin]), plugin)
    assert document["experimental"] == ["api miles"]
    assert document["deprecated"] == {
        "api Enlist": "Register, 2027.06",
        "api leagues": "miles, 2027.05",
        "api Sailed": "fleet.departed, 2027.05",
        "api may_sail": "fleet.may_depart, 2027.05",
        "events fleet.sailed": "fleet.departed, 2027.05",
        "hooks fleet.may_sail": "fleet.may_depart, 2027.05",
    }
    assert document["api"]["leagues"] == "(distance: int) -> int"
    assert document["api"]["Enlist"] == {"()": "(name: str) -> None"}


def test_a_whole_api_is_marked_by_its_module_and_an_event_says_which_payloads_it_reads(marked: tuple[Plugin, dict[str, Any]]) -> None:
    plugin, _ = marked
    plugin.experimental(sys.modules["crm_fleet_x.api"])

    class Landed(Event[Account], name="fleet.landed", version=3):
        port: str

    Landed.upcast(2)(lambda payload: payload)
    plugin.events(Landed)
    document = collect(Registry([plugin]), plugin)
    assert document["experimental"] == ["api", "api miles"]
    assert document["events"]["fleet.landed"]["reads"] == ["2", "3"]


@pytest.mark.parametrize(("name", "given", "gives", "end"), [("leagues", 9, 3, "2027.05"), ("Enlist", "Ann", "Ann", "2027.06")])
def test_who_calls_what_goes_away_is_told_whose_it_is_what_to_use_and_until_when(
    marked: tuple[Plugin, dict[str, Any]], name: str, given: Any, gives: Any, end: str
) -> None:
    call: Callable[[Any], Any] = marked[1][name]
    with pytest.warns(CRMDeprecationWarning, match=f"^fleet: .*{name} may be gone from {end} on; use ") as caught:
        made = call(given)
    assert getattr(made, "name", made) == gives
    warning = caught[0].message
    assert isinstance(warning, CRMDeprecationWarning)
    assert (warning.plugin, warning.end) == ("fleet", end)
    assert caught[0].filename == __file__


def test_a_plugin_that_uses_a_hook_or_event_that_goes_away_is_named_when_it_is_loaded(marked: tuple[Plugin, dict[str, Any]]) -> None:
    plugin, names = marked
    user = Plugin("acme.port", version="1.0", requires={"fleet": ">=1"})

    @user.hook(names["may_sail"])
    def storm(ctx: Ctx, vessels: list[Any]) -> None: ...

    @user.on(names["Sailed"])
    def note(session: Session, event: Any) -> None: ...

    with pytest.warns(CRMDeprecationWarning) as caught:
        Registry([plugin, user])
    assert [str(w.message) for w in caught] == [
        "fleet: fleet.may_sail, which acme.port uses, may be gone from 2027.05 on; use fleet.may_depart.",
        "fleet: fleet.sailed, which acme.port uses, may be gone from 2027.05 on; use fleet.departed.",
    ]


def test_a_plugin_hears_no_warning_of_its_own_things(marked: tuple[Plugin, dict[str, Any]]) -> None:
    plugin, names = marked

    @plugin.hook(names["may_sail"])
    def own(ctx: Ctx, vessels: list[Any]) -> None: ...

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Registry([plugin])
    assert caught == []


@pytest.mark.parametrize("end", ["2027", "2027.13", "soon", "1999.01"])
def test_when_it_ends_is_a_year_and_a_month(end: str) -> None:
    with pytest.raises(LoadError, match=r"like 2027\.05"):
        Plugin("fleet", version="1").deprecated(replacement="x", end=end)(Account)
