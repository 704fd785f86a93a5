"""The retention rules that modules suggest: told of in the plan, in force only where a tenant sets a period, and then they work [C72]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_core import Actor, Channel, Contact, Email, FixedClock, Runtime
from crm_core.core_settings import CoreSettings
from crm_core.entities.automation import AutomationRule, AutomationRun, RuleTrigger, RunOutcome
from crm_core.entities.imports import ImportRun, ImportState
from crm_core.privacy import due, retain, suggested
from crm_erp_bridge.ledger import OpState, Outbound, Parked, ParkedState, Run, RunKind
from crm_marketing.api import Consent, Touch
from crm_sales.api import Lead, LeadStatus
from crm_service.api import Survey, SurveyInvitation, SurveyKind, SurveyResponse, Ticket, TicketComment, TicketStatus
from tests.privacy.conftest import MODULES

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WANTED = {
    "core.imports": ("import_run", "empty"),
    "core.rule_runs": ("automation_run", "empty"),
    "erp_bridge.parked": ("erp_bridge.parked", "empty"),
    "erp_bridge.runs": ("erp_bridge.run", "delete"),
    "erp_bridge.sent": ("erp_bridge.outbound", "empty"),
    "marketing.clicks": ("marketing.touch", "empty"),
    "marketing.withdrawn_consents": ("marketing.consent", "delete"),
    "sales.disqualified_leads": ("sales.lead", "delete"),
    "sales.leads": ("sales.lead", "delete"),
    "service.comments": ("service.ticket_comment", "empty"),
    "service.invitations": ("service.survey_invitation", "delete"),
    "service.survey_comments": ("service.survey_response", "empty"),
    "service.tickets": ("service.ticket", "empty"),
}


@pytest.fixture
def crm(make_crm: Callable[..., Any]) -> Any:
    return make_crm(plugins=MODULES, runtime=Runtime.seeded(1, clock=FixedClock(NOW)))


def old_records(crm: Any, officer: Actor) -> None:
    """Make one record for each rule, and one of each kind that no rule is about."""
    with crm.session(officer) as session, session._elevated_core("a test's records") as s:
        ada = s.create(Contact(name="Ada", emails=[Email("ada@example.com")]))
        s.create(Lead(name="CANARYnew"))
        s.create(Lead(name="CANARYnever", status=LeadStatus.DISQUALIFIED))
        s.create(Touch(contact=ada.ref, at=NOW, click_id="CANARYclick"))
        given: dict[str, Any] = {"contact": ada.ref, "text": "Yes", "source": "form", "given_at": NOW}
        withdrawn = s.create(Consent(purpose="news", evidence={"form": "CANARYform"}, **given))
        s.update(Consent, withdrawn.id, {"withdrawn_at": NOW})
        s.create(Consent(purpose="offers", evidence={"form": "kept"}, **given))
        survey = s.create(Survey(name="CSAT", kind=SurveyKind.CSAT, question="How was it?"))
        asked = [s.create(SurveyInvitation(survey=survey.ref, contact=ada.ref, token_hash=h, expires_at=NOW)) for h in ("a" * 64, "b" * 64)]
        s.update(SurveyInvitation, asked[0].id, {"answered_at": NOW})
        s.create(SurveyResponse(survey=survey.ref, invitation=asked[0].ref, contact=ada.ref, score=5, comment="CANARYwell", at=NOW))
        ticket = s.create(Ticket(subject="CANARYbroken", contact=ada.ref, channel=Channel.EMAIL))
        s.create(TicketComment(ticket=ticket.ref, body="CANARYsaid"))
        s.update(Ticket, ticket.id, {"status": TicketStatus.SOLVED})
        s.create(Ticket(subject="open still"))
        for n, state in enumerate((OpState.DONE, OpState.DEAD)):
            word = "CANARYsent" if state is OpState.DONE else "kept"
            keys: dict[str, Any] = {"local_key": f"k{n}", "local_id": ada.id, "key": f"k{n}", "source": f"s{n}"}
            s.create(Outbound(bridge="b", stream="s", sequence=n, values={"name": word}, next_try=NOW, state=state, **keys))
        s.create(Parked(bridge="b", stream="s", remote_key="r", remote={"name": "CANARYremote"}, state=ParkedState.DISCARDED))
        s.create(Run(bridge="b", kind=next(iter(RunKind)), ended_at=NOW, ok=True))
        sums: dict[str, Any] = {"checksum": "c" * 64, "mapping": "m" * 64}
        s.create(ImportRun(file="f.csv", entity="contact", actor="x", state=ImportState.DONE, report={"Ada": "CANARYrow"}, **sums))
        rule = s.create(AutomationRule(name="r", entity="contact", runs_on=RuleTrigger.CREATED, actions=[{"set": {"title": "Dr"}}]))
        run: dict[str, Any] = {
            "at": NOW,
            "entity": "contact",
            "outcome": RunOutcome.FAILED,
            "reason": "x",
            "params": {"given": "CANARYgiven"},
        }
        s.create(AutomationRun(rule=rule.ref, key="1", **run))


def words(crm: Any) -> str:
    with crm.bound.begin(write=False) as connection:
        return repr([connection.execute(t.select()).all() for t in crm.tables.metadata.tables.values()])


def test_suggested_rules_are_told_of_do_nothing_and_work_where_a_tenant_takes_them(crm: Any, officer: Actor) -> None:
    old_records(crm, officer)
    crm.run_pending()
    crm.runtime.clock.advance(timedelta(days=6 * 366))
    with crm.session(officer) as s:
        assert due(s) == []
        offered = suggested(s)
        assert {d.rule: (d.entity, d.action) for d in offered} == WANTED
        assert {d.rule for d in offered if d.count != 1} == set()
    assert retain(crm, officer) == []
    with crm.session(officer) as s:
        s.change_settings(CoreSettings, {"keep": {d.rule: d.suggested for d in offered} | {"sales.leads": ""}})
        assert suggested(s) == []
        assert {d.rule for d in due(s)} == WANTED.keys() - {"sales.leads"}
    done = retain(crm, officer)
    assert {d.rule: (d.count, dict(d.refused)) for d in done} == dict.fromkeys(WANTED.keys() - {"sales.leads"}, (1, {}))
    assert "CANARYnew" in words(crm)
    with crm.session(officer) as s:
        s.change_settings(CoreSettings, {"keep": {"sales.leads": "3 years"}})
    assert [d.rule for d in retain(crm, officer)] == ["sales.leads"]
    assert "CANARY" not in words(crm)
    with crm.session(officer) as s:
        assert (s.query(Ticket).count(), s.query(Consent).count(), s.query(SurveyInvitation).count(), s.query(Lead).count()) == (2, 1, 1, 0)
    crm.run_pending()
    assert crm.audit.verify().ok
