"""What a role permits, somebody declares; and a role that nobody has is told of once, and gives nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import crm_sales
from crm_core import CRM, Account, Actor, Invalid, LoadError, Role

SYSTEM = Actor.system("setup", tenant="main")


@pytest.mark.parametrize(
    ("permission", "suggestion"),
    [("sales.wim", "sales.win"), ("core.role", "core.roles"), ("sales.setting", "sales.settings"), ("nobody.knows", "")],
)
def test_a_hosts_role_permits_only_what_somebody_declares(permission: str, suggestion: str) -> None:
    with pytest.raises(LoadError) as raised:
        CRM("sqlite://", plugins=[crm_sales.plugin], roles=[Role("closer").permit(permission)])
    assert raised.value.code == "role_action"
    assert (raised.value.params["action"], raised.value.params["suggestion"] or "") == (permission, suggestion)


def test_what_is_declared_is_permitted() -> None:
    known = ["core.roles", "core.privacy", "core.rollups", "sales.win", "sales.settings"]
    crm = CRM("sqlite://", plugins=[crm_sales.plugin], roles=[Role("all").permit(*known)])
    assert set(known) <= crm.registry.permissions
    crm.close()
    CRM("sqlite://", roles=[Role("all").permit("sales.win")], safe_mode=True).close()  # the plugin is away on purpose


def test_a_tenants_role_permits_only_what_somebody_declares(make_crm: Any) -> None:
    crm: CRM = make_crm()
    with pytest.raises(Invalid) as raised, crm.session(SYSTEM) as s:
        s.define_role(Role("closer").permit("sales.win"))
    assert raised.value.code == "role_action"
    with crm.session(SYSTEM) as s:
        s.define_role(Role("closer").permit("core.roles"))


def test_a_role_that_does_not_exist_gives_nothing_and_is_told_of_once(make_crm: Any, caplog: pytest.LogCaptureFixture) -> None:
    crm: CRM = make_crm(roles=[Role("clerk").allow(Account, "read")])
    with crm.session(SYSTEM) as s:
        s.create(Account(name="Acme"))
    with caplog.at_level(logging.WARNING, "crm_core.permissions.policies"):
        for roles, seen in (({"clrek"}, 0), ({"clrek", "clerk"}, 1), ({"clrek"}, 0)):
            with crm.session(Actor("1", roles=roles), write=False) as s:
                assert s.query(Account).count() == seen
    (told,) = [r.getMessage() for r in caplog.records if r.name == "crm_core.permissions.policies"]
    assert "'clrek'" in told
