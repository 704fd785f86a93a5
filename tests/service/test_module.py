"""The module as a whole: what it declares is documented, worded in both languages, and nothing besides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import crm_service
from crm_core import Role
from crm_service import api, plugin
from crm_service.deals import plugin as deals
from crm_service.handover import plugin as handover
from crm_service.messages import _EN
from crm_service.settings import Settings
from tests.service.conftest import AGENT, Desk

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "service.md").read_text(encoding="utf-8")
SYSTEM = {"id", "version", "created_at", "created_by", "updated_at", "updated_by", "deleted_at"}
SOURCES = "\n".join(p.read_text(encoding="utf-8") for p in Path(crm_service.__file__).parent.glob("*.py"))


def names() -> set[str]:
    """Return what the module declares, by the names that people write."""
    d = plugin.definitions
    declared: list[Any] = [*d.entities, *d.events, *d.services, *(a.command for a in d.actions)]
    found = {each.__name__ for each in declared}
    found |= {role.name for role in d.roles} | {a.permission for a in d.actions} | {j.name for j in d.jobs}
    return (
        found
        | {f.name for f in Settings.__attrs_attrs__}
        | {handover.name, deals.name}
        | {h.name for h in d.hooks}
        | {extension.__name__ for _, extension in d.extensions}
    )


def test_everything_the_module_declares_is_in_its_how_to() -> None:
    assert {name for name in names() if f"`{name}`" not in HOW_TO} == set()


def test_everything_the_module_declares_for_others_is_in_its_api() -> None:
    d = plugin.definitions
    declared: list[Any] = [*d.entities, *d.events, *d.services, *(a.command for a in d.actions), *(x for _, x in d.extensions)]
    assert {each.__name__ for each in declared} <= set(api.__all__)
    assert sorted(api.__all__) == api.__all__
    assert all(getattr(api, hook.name.rpartition(".")[2]) is hook for hook in d.hooks)


def test_every_code_that_the_module_raises_has_its_words() -> None:
    raised = set(re.findall(r'(?:refuse\(\s*\w+, |Invalid\(|Refused\(|NotFound\(|label=)"(service\.[\w.]+)"', SOURCES))
    assert len(raised) > 25
    assert raised - set(_EN) == set()


def test_labels_of_fields_and_options_follow_the_actors_language(desk: Desk) -> None:
    chinese = desk.crm.describe(api.Ticket, AGENT.__class__("7", roles={"service.agent"}, locale="zh_CN"))
    status = chinese["fields"]["status"]
    assert status["label"] == "状态"
    assert {o["value"]: o["label"] for o in status["options"]}["on_hold"] == "暂停"
    assert (chinese["fields"]["sla"]["writable"], chinese["fields"]["subject"]["writable"]) == (False, True)


def test_roles_of_the_module_carry_its_name() -> None:
    roles: list[Role] = plugin.definitions.roles
    assert [r.name for r in roles] == ["service.agent", "service.manager", "service.respondent"]
