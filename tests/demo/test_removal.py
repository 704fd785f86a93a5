"""Each module can be taken away from a company that lived with it: the others go on, and what it knew is there when it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import CRM, Account, Contact, Link, Note, Plugin, Ref, Runtime
from crm_core.testing.databases import Database
from crm_demo.company import SETUP, Company, People
from crm_demo.erp import bridge
from crm_demo.play import play
from crm_demo.story import STORY, Life, life
from crm_erp_bridge.api import OpState, Outbound

Shown = dict[str, Any]
# That the lead of the first touch is the contact of today, marketing knows from sales; a contact's preferred channel is service's field.
TOGETHER = {"sales": ["Contact marketing.marketing_of_contact"], "service": ["Account core.contacts"]}


@pytest.fixture
def company(database: Database, tmp_path: Path) -> Iterator[Company]:
    made = Company(database.url, 7, tmp_path)
    made.crm.migrate()
    play(made, STORY)
    yield made
    made.close()


def panels(crm: CRM, told: Life) -> dict[str, Shown]:
    """Return what is shown beside Acme and beside Carol."""
    found: dict[str, Shown] = {}
    with crm.session(SETUP, write=False) as s:
        for ref in (Ref(Account, told.account), Ref(Contact, told.contact)):
            view = s.view360(ref)
            assert [p.error for p in view.panels if p.error] == []
            found |= {f"{ref.entity.__name__} {p['name']}": p["data"] for p in crm.to_json(view)["panels"]}
    return found


def said(crm: CRM, told: Life) -> list[str]:
    with crm.session(SETUP, write=False) as s:
        return [str(getattr(e.record, "subject", "") or getattr(e.record, "body", "")) for e in s.timeline(Ref(Account, told.account))]


def work(crm: CRM, told: Life, without: str) -> None:
    """Write to the customer, and take another one in."""
    with crm.session(SETUP) as s:
        s.create(Note(body=f"without {without}", links=[Link("account", told.account)]))
        s.update(Account, told.account, {"name": f"Acme without {without}"})
        s.delete(s.create(Account(name="A mistake")))
    crm.run_pending()
    assert crm.delivery.parked() == []


def test_c02_c75_each_module_is_taken_away_and_the_rest_goes_on_and_nothing_is_lost(company: Company, tmp_path: Path) -> None:
    told, before, history = life(company), panels(company.crm, life(company)), said(company.crm, life(company))
    modules: dict[str, Plugin] = {
        "analytics": crm_analytics.plugin,
        "erp_bridge": crm_erp_bridge.plugin.configured(bridges=[bridge(tmp_path)]),
        "marketing": crm_marketing.plugin,
        "sales": crm_sales.plugin,
        "service": crm_service.plugin,
    }
    for without in modules:
        company.clock.advance(timedelta(hours=1))
        plugins = [plugin for name, plugin in modules.items() if name != without]
        crm = CRM(company.crm.url, plugins=plugins, directory=People(), runtime=Runtime.seeded(without, clock=company.clock))
        crm.migrations.check()
        work(crm, told, without)
        shown = panels(crm, told)
        assert shown.keys() == {name for name in before if f" {without}." not in name}
        assert [name for name, data in shown.items() if data != before[name]] == TOGETHER.get(without, [])
        assert said(crm, told)[0] == f"without {without}"
        crm.close()
    company.crm.run_pending()
    assert company.crm.delivery.parked() == []
    assert panels(company.crm, told) == before
    assert said(company.crm, told)[len(modules) :] == history
    with company.session() as s:
        queued = s.query(Outbound).where(Outbound.state == OpState.QUEUED).order_by(Outbound.id).all()
    names = [str(o.values["name"]) for o in queued]
    assert names[-1] == "Acme without service", "the ERP hears of the last name"
    assert "Acme without sales" in names, "and where a section of the mapping is about what is not there, of the others all the same"
