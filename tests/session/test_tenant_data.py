"""Roles and settings that a tenant keeps as data."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from crm_core import CRM, Account, Actor, Denied, Invalid, LoadError, Plugin, Role, owner


@attrs.define
class Settings:
    limit: int = 3
    tiers: list[str] = attrs.Factory(list)


plugin = Plugin("shop", version="1.0.0", settings=Settings)
SYSTEM = Actor.system("setup", tenant="acme")


def test_a_role_defined_by_a_tenant_counts_there_and_nowhere_else(make_crm: Any) -> None:
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme", owner="7"))
        s.define_role(Role("helper", label="Helper").allow(Account, "read", where=owner))
    with crm.session(Actor("7", tenant="acme", roles={"helper"})) as s:
        assert s.get(Account, account.id).name == "Acme"
    with crm.session(Actor("8", tenant="acme", roles={"helper"})) as s:
        assert s.query(Account).count() == 0
        with pytest.raises(Denied):
            s.define_role(Role("god").allow(Account, "read"))
    with crm.session(Actor("7", tenant="other", roles={"helper"})) as s:
        assert not s.can("read", Account)
    with crm.session(SYSTEM) as s:
        s.remove_role("helper")
    with crm.session(Actor("7", tenant="acme", roles={"helper"})) as s:
        assert s.find(Account, account.id) is None


def test_another_process_sees_a_role_within_a_second(make_crm: Any) -> None:
    crm = make_crm()
    other = CRM(crm.url)
    actor = Actor("7", tenant="acme", roles={"helper"})
    with other.session(actor) as s:
        assert not s.can("read", Account)
    with crm.session(SYSTEM) as s:
        s.define_role(Role("helper").allow(Account, "read"))
    other.roles._known.clear()  # a second later
    with other.session(actor) as s:
        assert s.can("read", Account)
    other.close()


def test_a_role_that_cannot_be_is_refused_and_changes_nothing(make_crm: Any) -> None:
    crm = make_crm(roles=[Role("boss").allow(Account, "read")])
    with crm.session(SYSTEM) as s:
        for wrong in (Role("boss").allow(Account, "read"), Role("x").allow("nothing", "read"), Role("x", extends=["y"])):
            with pytest.raises(Invalid):
                s.define_role(wrong)
        assert s._unit.connection.execute(crm.tables.system.role.select()).all() == []


def test_a_tenant_changes_settings_over_what_the_host_configured(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin.configured(tiers=["gold"])])
    with crm.session(SYSTEM) as s:
        assert s.settings(Settings) == Settings(3, ["gold"])
        assert s.change_settings(Settings, {"limit": 5}) == Settings(5, ["gold"])
        assert s.settings(Settings).limit == 5
        with pytest.raises(Invalid) as raised:
            s.change_settings(Settings, {"limti": 5})
        assert "limit" in str(raised.value)
    with crm.session(Actor.system("x", tenant="other")) as s:
        assert s.settings(Settings).limit == 3
    with crm.session(Actor("7", tenant="acme")) as s, pytest.raises(Denied):
        s.change_settings(Settings, {"limit": 9})
    with crm.session(SYSTEM) as s, pytest.raises(LoadError):
        s.settings(Plugin)
