"""Scopes: each organisation of the ERP is a tenant of ours, and neither sees the other's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from crm_core import CRM, Account, Actor
from crm_erp_bridge import plugin
from crm_erp_bridge.api import Binding, Bridge, FolderDrop, FolderSettings, Outbound, Sync
from tests.erp_bridge.conftest import Desk, MakeDesk, customer


def names(crm: CRM, tenant: str) -> list[str]:
    with crm.session(Actor.system("test", tenant=tenant), write=False) as s:
        return [a.name for a in s.query(Account).order_by(Account.name).all()]


def test_each_organisation_of_the_erp_is_a_tenant_of_its_own(make_desk: MakeDesk, make_crm: Callable[..., CRM], tmp_path: Path) -> None:
    desk: Desk = make_desk()
    given = FolderSettings(root=tmp_path, entities=["customer"])
    (tmp_path / "two.toml").write_text('[customer]\nrecord = "account"\nto_erp = "always"\nfields.name = { erp = "name", owner = "crm" }\n')
    scopes = {"100": "cn-head", "101": "cn-east"}
    bridge = Bridge("kingdee", FolderDrop, mapping=tmp_path / "two.toml", scopes=scopes, settings=given)
    crm = make_crm(plugins=[plugin.configured(bridges=[bridge])])
    desk.drop("customer-1.json", customer("C1", name="Head's"), scope="100")
    desk.drop("customer-1.json", customer("C1", name="East's"), scope="101")
    with Sync(crm, "kingdee") as head, Sync(crm, "kingdee", tenant="cn-east") as east:
        assert head.pull() == {"customer.create": 1}
        assert (names(crm, "cn-head"), names(crm, "cn-east")) == (["Head's"], [])
        assert east.pull() == {"customer.create": 1}
        assert names(crm, "cn-east") == ["East's"]
        with crm.session(Actor.system("test", tenant="cn-east")) as s:
            s.create(Account(name="New in the east"))
        with crm.session(Actor.system("test", tenant="elsewhere")) as s:
            s.create(Account(name="Not of this ERP"))
        crm.run_pending()
        assert (head.push(), east.push()) == ({}, {"customer.pending": 1})
    assert [p.parent.name for p in (tmp_path / "outgoing").rglob("*.json")] == ["101"]
    with crm.session(Actor.system("test", tenant="cn-east")) as s:
        assert {b.scope for b in s.query(Binding).all()} == {"101"}
    with crm.session(Actor.system("test", tenant="elsewhere")) as s:
        assert s.query(Outbound).count() == 0
