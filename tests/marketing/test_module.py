"""The module as a whole: its words, its roles, its panel. What holds for every module: tests/test_modules.py."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

import crm_marketing
from crm_core import CRM, Actor, Contact, FixedClock, NotFound
from crm_marketing import api, plugin
from crm_marketing.api import CampaignStatus, Marketing, MemberStatus
from crm_marketing.messages import _EN
from crm_marketing.settings import Settings
from tests.marketing.conftest import MANAGER, MEMBER, SYSTEM, campaign, people

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "marketing.md").read_text(encoding="utf-8")
SOURCES = "\n".join(p.read_text(encoding="utf-8") for p in Path(crm_marketing.__file__).parent.glob("*.py"))


def test_every_code_that_the_module_raises_has_its_words() -> None:
    raised = set(re.findall(r'(?:refuse\(\w+, |Invalid\(|Refused\(|label=)"(marketing\.[\w.]+)"', SOURCES))
    assert len(raised) > 20
    assert raised - set(_EN) == set()
    assert {f"marketing.send.{reason}" for reason in ("allowed", "unknown", "withdrawn", "no_consent")} <= set(_EN)


def test_labels_of_fields_and_options_follow_the_actors_language(crm: CRM) -> None:
    chinese = crm.describe(api.CampaignMember, Actor("2", roles={"marketing.member"}, locale="zh_CN"))
    status = chinese["fields"]["status"]
    assert {o["value"]: o["label"] for o in status["options"]}["responded"] == "已响应"
    assert (chinese["fields"]["key"]["writable"], status["writable"]) == (False, True)


def test_roles_of_the_module_carry_its_name() -> None:
    assert [r.name for r in plugin.definitions.roles] == ["marketing.member", "marketing.manager"]


def test_managers_run_campaigns_and_settings_and_members_the_work_beside_them(crm: CRM) -> None:
    assert {a.permission for a in plugin.definitions.actions} == {"marketing.run", "marketing.work"}
    for actor, allowed in ((MANAGER, ["marketing.run", "marketing.settings", "marketing.work"]), (MEMBER, ["marketing.work"])):
        with crm.session(actor) as s:
            asked = ["marketing.run", "marketing.settings", "marketing.work"]
            assert [p for p in asked if s.check_action(p, None) is None] == allowed


def test_who_may_change_the_settings(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        assert s.change_settings(Settings, {"half_life_days": 14, "currency": "CNY"}) == Settings("CNY", 14)
        assert campaign(s).currency == "CNY"


def test_beside_a_contact_stands_what_marketing_knows_of_them(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MANAGER) as s:
        marketing = s.use(Marketing)
        spring, (anna, ben) = campaign(s, status=CampaignStatus.ACTIVE), people(s, "Anna", "Ben")
        marketing.enrol(spring, [anna])
        marketing.give_consent(anna, "news", text="Yes.", evidence={"form": "x"}, source="website")
        marketing.advance(spring, [anna], MemberStatus.RESPONDED)
        marketing.touch(anna, {"utm_source": "google", "utm_medium": "cpc"})
    clock.advance(timedelta(days=1))
    panel, _ = plugin.definitions.panels
    assert (panel.entity.__name__, _EN[panel.label]) == ("Contact", "Marketing")
    with crm.session(MEMBER) as s:
        assert panel.fn(s, anna) == {
            "campaigns": [{"name": "Spring", "status": "responded"}],
            "consents": [{"purpose": "news", "channel": "email", "given_at": "2026-03-02T09:00:00+00:00", "withdrawn_at": None}],
            "first_touch": {"source": "google", "medium": "cpc", "at": "2026-03-02T09:00:00+00:00"},
        }
        assert panel.fn(s, ben) == {"campaigns": [], "consents": [], "first_touch": None}


def test_a_contact_who_is_deleted_takes_along_what_marketing_knew(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        marketing, spring, (anna, ben) = s.use(Marketing), campaign(s), people(s, "Anna", "Ben")
        for person in (anna, ben):
            marketing.enrol(spring, [person])
            marketing.touch(person, {}, campaign=spring)
            marketing.give_consent(person, "news", text="Yes.", evidence={"form": "x"}, source="website")
        s.delete(anna)
        figures = marketing.figures(spring)
        assert (figures.total, figures.leads) == (1, 1)
        assert [a.reason for a in marketing.may_send([anna, ben], "news")] == ["marketing.send.unknown", "marketing.send.allowed"]
        s.restore(Contact, anna.id)
        assert next(marketing.may_send([anna.ref], "news")).reason == "marketing.send.no_consent", "they are asked again"
        assert marketing.enrol(spring, [anna]) == 1


def test_what_marketing_keeps_stays_in_its_tenant(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        spring, known = campaign(s, code="spring"), people(s, "Anna")
        s.use(Marketing).enrol(spring, known)
    with crm.session(Actor("1", tenant="other", roles={"marketing.manager"})) as s:
        with pytest.raises(NotFound):
            s.use(Marketing).figures(spring)
        assert next(s.use(Marketing).may_send(known, "news")).reason == "marketing.send.unknown"
        assert campaign(s, code="spring").id != spring.id
