"""Tenants: declared, suspended, resumed, dropped."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crm_core import (
    CRM,
    Account,
    Actor,
    AutomationRule,
    Conflict,
    CoreSettings,
    Invalid,
    NotFound,
    RuleTrigger,
    TenantSuspended,
)
from tests.tenants.world import START, Open, World, maps, system


def test_a_tenant_is_there_with_its_first_row_and_main_always(w: World) -> None:
    w.account("acme")
    w.crm.run_pending()
    assert [t.name for t in w.crm.tenants.list()] == ["acme", "main"]


def test_a_declared_tenant_has_a_label_and_settings_at_once(w: World) -> None:
    made = w.crm.tenants.create("acme", label="Acme GmbH", settings={CoreSettings: {"timezone": "Asia/Tokyo"}})
    assert (made.label, made.state, made.modules, made.created_at) == ("Acme GmbH", "active", None, START)
    with w.crm.session(system("acme")) as s:
        assert s.settings(CoreSettings).timezone == "Asia/Tokyo"
    with pytest.raises(Conflict) as taken:
        w.crm.tenants.create("acme")
    assert taken.value.code == "tenant_exists"
    with pytest.raises(Invalid):
        w.crm.tenants.create("other", settings={CoreSettings: {"timezone": "Atlantis"}})
    assert [t.name for t in w.crm.tenants.list()] == ["acme", "main"]


def test_where_tenants_must_be_declared_all_others_are_refused(open_world: Open) -> None:
    w = open_world(tenants="declared")
    w.account("main")
    for _ in range(2):
        with pytest.raises(NotFound) as unknown:
            w.account("acme")
        assert (unknown.value.code, unknown.value.status) == ("tenant_undeclared", 404)
    w.crm.tenants.create("acme")
    w.account("acme")


def test_sessions_of_a_suspended_tenant_are_refused_in_every_process(w: World) -> None:
    w.account("acme")
    other = CRM(w.crm.url, plugins=[maps([])], runtime=w.crm.runtime)
    with other.session(system("acme")) as s:
        assert s.query(Account).count() == 1
    w.crm.tenants.suspend("acme", reason="unpaid")
    w.clock.advance(timedelta(seconds=11))
    for crm in (w.crm, other):
        for actor in (system("acme"), Actor("7", tenant="acme", roles={"rep"})):
            with pytest.raises(TenantSuspended) as refused, crm.session(actor, write=False) as s:
                s.query(Account).count()
            assert refused.value.status == 423
        with crm.session(system("main")) as s:
            s.query(Account).count()
    with w.crm.session(Actor.system("tenants", tenant="acme"), write=False) as s:
        assert s.query(Account).count() == 1
    other.close()


def test_a_suspended_tenant_cannot_be_entered_on_the_hosts_own_connection(w: World) -> None:
    w.crm.tenants.suspend("acme")
    with w.crm.bound.begin() as connection, pytest.raises(TenantSuspended), w.crm.session(system("acme"), on=connection) as s:
        s.query(Account).count()


def test_subscribers_jobs_and_rules_rest_in_a_suspended_tenant_and_go_on_afterwards(w: World) -> None:
    rule = AutomationRule(name="note", entity="account", runs_on=RuleTrigger.CREATED, actions=[{"set": {"name": "seen"}}])
    with w.crm.session(system("acme")) as s:
        s.create(rule)
    w.account("acme", "one")
    w.account("main", "two")
    w.crm.tenants.suspend("acme")
    w.crm.run_pending()
    assert w.heard == ["main two"]
    w.account("main", "three")
    w.later(hours=1)
    assert sorted(w.heard) == ["main 11h", "main three", "main two"]
    w.crm.tenants.resume("acme")
    w.later(minutes=1)
    assert sorted(w.heard) == ["acme 11h", "acme one", "main 11h", "main three", "main two"]
    assert w.crm.delivery.parked() == []
    with w.crm.session(system("acme")) as s:
        assert [a.name for a in s.query(Account).all()] == ["seen"]


def test_a_job_cannot_be_run_by_hand_in_a_suspended_tenant(w: World) -> None:
    w.crm.tenants.suspend("acme")
    with pytest.raises(TenantSuspended):
        w.crm.jobs.run("maps.hourly", tenant="acme")


def test_a_dropped_tenant_is_gone_and_may_begin_anew(w: World) -> None:
    w.crm.tenants.create("acme")
    w.account("acme")
    w.later(hours=1)
    assert w.crm.tenants.drop("acme")["account"] == 1
    w.later(hours=1)
    assert [t.name for t in w.crm.tenants.list()] == ["main"]
    assert "acme 12h" not in w.heard
    w.crm.tenants.create("acme")
    w.account("acme", "again")
    with pytest.raises(NotFound):
        w.crm.tenants.drop("nobody")


def test_what_happens_to_tenants_stands_in_their_journal(w: World) -> None:
    w.crm.tenants.create("acme", label="Acme")
    w.crm.tenants.suspend("acme", reason="unpaid")
    w.crm.tenants.resume("acme")
    w.crm.tenants.switch("acme", [])
    journal = w.crm.tables.system.journal
    with w.crm.bound.begin(write=False) as connection:
        rows = connection.execute(journal.select().where(journal.c.tenant == "acme").order_by(journal.c.id)).all()
    assert [(r.kind.split(".")[1], r.actor, r.reason) for r in rows] == [
        ("tenant_created", "system:tenants", None),
        ("tenant_suspended", "system:tenants", "unpaid"),
        ("tenant_resumed", "system:tenants", None),
        ("modules_switched", "system:tenants", None),
    ]


def test_settings_of_a_tenant_are_reset_to_the_defaults(w: World) -> None:
    with w.crm.session(system("acme")) as s:
        s.change_settings(CoreSettings, {"timezone": "Asia/Tokyo"})
        assert s.reset_settings(CoreSettings, "timezone").timezone == "UTC"
        assert s.settings(CoreSettings).timezone == "UTC"
        with pytest.raises(Invalid):
            s.reset_settings(CoreSettings, "timezones")
