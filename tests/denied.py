"""What a clerk may not do who may write every record, and has no permission of a module; and that trying leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from crm_core import CRM, Actor, Denied, Plugin, Role, Runtime
from crm_core.hooks.core_specs import CORE
from crm_core.testing import Factory
from crm_core.testing.state import state_of

ADMIN = Actor.system("setup", tenant="main")
CLERK = Actor("7", roles={"clerk"})


@contextmanager
def clerks(plugin: Plugin) -> Iterator[CRM]:
    """Open a CRM in which a clerk may do all to the records of a module and of the core."""
    clerk = Role("clerk")
    for entity in (e for p in (CORE, plugin) for e in p.definitions.entities):
        clerk.allow(entity, "read", "create", "update", "delete", "export", "assign")
    with closing(CRM("sqlite://", plugins=[plugin], roles=[clerk], runtime=Runtime.seeded(1))) as crm:
        crm.migrate()
        yield crm


def denied(crm: CRM, plugin: Plugin) -> list[str]:
    """Have the clerk try all actions and a change of settings; return the permissions that each was denied for the lack of."""
    factory, asked = Factory(1), set()
    for action in plugin.definitions.actions:
        with crm.session(ADMIN) as s:
            command: Any = factory.command(s, action.command)
        asked.add(_lacked(crm, lambda s, command=command: s.perform(command)))
    if plugin.settings is not None:
        asked.add(_lacked(crm, lambda s: s.change_settings(plugin.settings, {})))
    return sorted(asked)


def _lacked(crm: CRM, work: Any) -> str:
    before = state_of(crm)
    with crm.session(CLERK) as s, pytest.raises(Denied) as error:
        work(s)
    assert state_of(crm) == before
    return str(error.value.params["action"])
