"""Which modules each tenant has."""

from __future__ import annotations

import pytest

from crm_core import Account, Actor, Denied, Invalid, Plugin, Refused, Role
from tests.tenants.world import Atlas, Find, Open, Place, World, system


def test_a_module_that_is_off_does_not_exist_in_its_tenant(open_world: Open) -> None:
    rep = Role("rep").allow(Account, "read", "create", "maps.find").allow(Place, "read", "create")
    w = open_world(roles=[rep])
    for tenant in ("acme", "main"):
        with w.crm.session(system(tenant)) as s:
            s.create(Place(name="Berlin"))
    w.crm.tenants.create("acme", modules=[])
    for actor in (system("acme"), Actor("7", tenant="acme", roles={"rep"})):
        with w.crm.session(actor) as s:
            account = s.create(Account(name="Atlantis"))  # its veto is not asked
            assert not s.can("read", Place)
            assert s.query(Place).count() == 0
            with pytest.raises(Denied):
                s.create(Place(name="x"))
            assert [a.name for a in s.actions(account)] == []
            with pytest.raises(Denied):
                s.use(Atlas)
            with pytest.raises(Denied):
                s.perform(Find(account.ref))
            assert [p.name for p in s.view360(account).panels if p.plugin == "maps"] == []
    with w.crm.session(Actor("7", tenant="main", roles={"rep"})) as s:
        with pytest.raises(Refused):
            s.create(Account(name="Atlantis"))
        account = s.create(Account(name="B"))
        assert (s.query(Place).count(), [a.allowed for a in s.actions(account)]) == (1, [True])
        assert [p.plugin for p in s.view360(account).panels if p.plugin == "maps"] == ["maps"]


def test_a_module_that_is_on_again_has_what_it_kept_and_hears_what_it_missed(w: World) -> None:
    with w.crm.session(system("acme")) as s:
        s.create(Place(name="Berlin"))
    w.crm.tenants.switch("acme", [])
    w.account("acme", "missed")
    w.later(hours=1)
    assert [h for h in w.heard if h.startswith("acme")] == []
    with pytest.raises(Denied) as off:
        w.crm.jobs.run("maps.hourly", tenant="acme")
    assert off.value.code == "module_off"
    w.crm.tenants.switch("acme", None)
    w.later(minutes=1)
    assert sorted(h for h in w.heard if h.startswith("acme")) == ["acme 11h", "acme missed"]
    with w.crm.session(system("acme")) as s:
        assert s.query(Place).count() == 1


def test_a_module_that_another_needs_cannot_be_left_out(open_world: Open) -> None:
    routes = Plugin("routes", version="1.0", requires={"maps": ">=1"})
    w = open_world(beside=[routes])
    with pytest.raises(Invalid) as needs:
        w.crm.tenants.create("acme", modules=["routes"])
    assert (needs.value.code, needs.value.params["needs"]) == ("module_needs", ["maps"])
    with pytest.raises(Invalid) as unknown:
        w.crm.tenants.create("acme", modules=["mapps"])
    assert unknown.value.params["suggestion"] == "maps"
    assert w.crm.tenants.create("acme", modules=["maps", "routes"]).modules == ("maps", "routes")


def test_modules_are_switched_one_by_one_and_the_others_stay(open_world: Open) -> None:
    tenants = open_world(beside=[Plugin("routes", version="1.0", requires={"maps": ">=1"})]).crm.tenants
    tenants.create("acme", modules=["maps"])
    tenants.enable("acme", "routes")
    assert tenants.get("acme").modules == ("maps", "routes")
    with pytest.raises(Invalid) as needs:
        tenants.disable("acme", "maps")
    assert needs.value.code == "module_needs"
    tenants.disable("acme", "routes", "maps")
    assert tenants.get("acme").modules == ()
    tenants.enable("main", "maps")
    assert tenants.get("main").modules is None
    tenants.disable("main", "routes")
    assert tenants.get("main").modules == ("maps",)
