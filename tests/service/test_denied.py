"""Who lacks a permission of service is denied what asks for it, whatever else they may do, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import crm_service
from crm_core import CRM, Actor, Denied, Role, Runtime
from crm_core.hooks.core_specs import CORE
from crm_core.testing import Factory
from crm_core.testing.state import state_of

plugin = crm_service.plugin
PLUGINS = [crm_service.plugin]
ADMIN = Actor.system("setup", tenant="main")
CLERK = Actor("7", roles={"clerk"})


@pytest.fixture(scope="module")
def crm() -> Iterator[CRM]:
    clerk = Role("clerk")
    for entity in (e for p in (CORE, *PLUGINS) for e in p.definitions.entities):
        clerk.allow(entity, "read", "create", "update", "delete", "export", "assign")
    crm = CRM("sqlite://", plugins=PLUGINS, roles=[clerk], runtime=Runtime.seeded(1))
    crm.migrate()
    yield crm
    crm.close()


def test_no_action_is_performed_without_its_permission(crm: CRM) -> None:
    factory, asked = Factory(1), set()
    for action in plugin.definitions.actions:
        with crm.session(ADMIN) as s:
            command: Any = factory.command(s, action.command)
        before = state_of(crm)
        with crm.session(CLERK) as s, pytest.raises(Denied) as denied:
            s.perform(command)
        asked.add(denied.value.params["action"])
        assert state_of(crm) == before
    assert sorted(asked) == [
        "service.respond",
        "service.work",
    ]


def test_no_setting_is_changed_without_the_permission_to(crm: CRM) -> None:
    with crm.session(CLERK) as s, pytest.raises(Denied) as denied:
        s.change_settings(plugin.settings, {"reopen_days": 14})  # type: ignore[arg-type]  # it has some
    assert denied.value.params["action"] == "service.settings"
