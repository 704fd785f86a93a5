"""A host takes the modules it needs: each of the 32 choices boots, migrates, delivers and shows a customer whole."""

from __future__ import annotations

from itertools import combinations

import pytest

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import CRM, Account, Actor
from crm_core.testing.databases import Database
from tests.figures import LONG

MODULES = {
    "analytics": crm_analytics.plugin,
    "erp_bridge": crm_erp_bridge.plugin,
    "marketing": crm_marketing.plugin,
    "sales": crm_sales.plugin,
    "service": crm_service.plugin,
}
CHOICES = [chosen for count in range(len(MODULES) + 1) for chosen in combinations(MODULES, count)]
COMPANIONS = {
    "marketing.first_touch": "marketing",
    "erp_bridge.deals": "erp_bridge",
    "service.handover": "service",
    "service.deals": "service",
}
ADMIN = Actor.system("setup", tenant="main")


@pytest.mark.parametrize("chosen", CHOICES, ids="+".join)
def test_c75_any_choice_of_modules_boots_and_works(chosen: tuple[str, ...], database: Database) -> None:
    if database.kind == "postgresql" and 1 < len(chosen) < len(MODULES) and not LONG:
        pytest.skip("on SQLite all choices, here none, one and all; the others in the long form: CRM_TRUST_LONG=1")
    crm = CRM(database.url, plugins=[MODULES[name] for name in chosen])
    crm.migrate()
    crm.migrations.check()
    loaded = {plugin.name for plugin in crm.registry.plugins} - {"core"}
    assert loaded == {*chosen, *(name for name, owner in COMPANIONS.items() if {owner, "sales"} <= {*chosen})}
    with crm.session(ADMIN) as s:
        acme = s.create(Account(name="Acme"))
        view = s.view360(acme)
        assert [p.error for p in view.panels if p.error] == []
        assert {p.plugin for p in view.panels} <= {"core", *chosen}
    for entity in crm.registry.entities:
        assert crm.describe(entity, ADMIN)["fields"]
    crm.run_pending()
    crm.close()


def test_there_are_32_choices_of_five_modules() -> None:
    assert len(CHOICES) == 32
