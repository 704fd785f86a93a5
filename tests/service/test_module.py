"""The module as a whole: its words and its roles. What holds for every module: tests/test_modules.py."""

from __future__ import annotations

import re
from pathlib import Path

import crm_service
from crm_core import Role
from crm_service import api, plugin
from crm_service.messages import _EN
from tests.service.conftest import AGENT, Desk

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "service.md").read_text(encoding="utf-8")
SYSTEM = {"id", "version", "created_at", "created_by", "updated_at", "updated_by", "deleted_at"}
SOURCES = "\n".join(p.read_text(encoding="utf-8") for p in Path(crm_service.__file__).parent.glob("*.py"))


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
