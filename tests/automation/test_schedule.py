"""[C51] Rules by the clock: each slot once, in the zone's own time, however many processes look."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_core import CRM, AutomationRule, FixedClock, RuleTrigger, RunOutcome, Runtime
from crm_core.automation.schedule import read_schedule
from crm_core.rules import F, to_json
from tests.automation.office import AUTHOR, ROLES, Office, plugin
from tests.threads import at_once


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


BERLIN = {"zone": "Europe/Berlin"}
SLOTS: list[tuple[dict[str, Any], str, str]] = [
    ({"every_minutes": 15}, "2026-03-02T08:14:59", "2026-03-02T08:00:00"),
    ({"every_minutes": 15}, "2026-03-02T08:15:00", "2026-03-02T08:15:00"),
    ({"every_minutes": 10080}, "2026-03-02T08:15:00", "2026-02-26T00:00:00"),
    ({"at": "09:00"}, "2026-03-02T08:59:00", "2026-03-01T09:00:00"),
    ({"at": "09:00"}, "2026-03-02T09:00:00", "2026-03-02T09:00:00"),
    ({"at": "09:00", **BERLIN}, "2026-03-02T08:00:00", "2026-03-02T08:00:00"),
    ({"at": "09:00", **BERLIN}, "2026-07-02T07:00:00", "2026-07-02T07:00:00"),
    ({"at": "09:00", "zone": "Asia/Shanghai"}, "2026-03-02T00:59:00", "2026-03-01T01:00:00"),
    ({"at": "09:00", "days": ["fri"]}, "2026-03-02T09:00:00", "2026-02-27T09:00:00"),
    ({"at": "02:30", **BERLIN}, "2026-03-29T12:00:00", "2026-03-29T01:30:00"),  # skipped: an hour later on the wall
    ({"at": "02:30", **BERLIN}, "2026-10-25T12:00:00", "2026-10-25T00:30:00"),  # twice: the first time
]


@pytest.mark.parametrize(("schedule", "now", "slot"), SLOTS)
def test_c51_a_slot_is_the_newest_instant_of_a_schedule(schedule: dict[str, Any], now: str, slot: str) -> None:
    assert read_schedule(schedule).last(utc(now)) == utc(slot)


def hourly(office: Office, **given: Any) -> AutomationRule:
    given = {
        "runs_on": RuleTrigger.SCHEDULE,
        "schedule": {"every_minutes": 60},
        "condition": to_json(F("state") == "new"),
        "actions": [{"perform": "office.remind", "with": {"text": {"field": "name"}}}],
        **given,
    }
    return office.rule(**given)


def test_c51_a_rule_by_the_clock_runs_for_every_record_that_fits(office: Office) -> None:
    rule = hourly(office)
    first, second, other = office.case(name="A"), office.case(name="B"), office.case(state="open")
    office.crm.run_pending()
    assert office.outcomes(rule) == []  # 08:00 was when the rule was written
    office.later(minutes=59)
    office.crm.run_pending()
    assert office.outcomes(rule) == []
    office.later(minutes=1)
    office.crm.run_pending()
    office.crm.run_pending()
    assert [office.now(c).state for c in (first, second, other)] == ["reminded: A", "reminded: B", "open"]
    assert [(r.reason, r.record) for r in office.runs(rule)] == [
        ("automation_slot", None),
        ("automation_done", first.id),
        ("automation_done", second.id),
    ]
    assert "2026-03-02T09:00" in office.crm.automation.reason(office.runs(rule)[0])


def test_c51_missed_slots_are_not_made_up_for_but_the_last(office: Office) -> None:
    rule = hourly(office)
    office.case()
    office.later(hours=30)
    office.crm.run_pending()
    assert [r.reason for r in office.runs(rule)] == ["automation_slot", "automation_done"]
    assert office.crm.run_pending() == 0


def test_c51_a_stopped_rule_waits_for_the_next_slot_after_it_is_woken(office: Office) -> None:
    rule = hourly(office, active=False)
    office.later(hours=2)
    office.crm.run_pending()
    with office.crm.session(AUTHOR) as s:
        s.update(AutomationRule, rule.id, {"active": True})
    office.later(minutes=5)
    office.crm.run_pending()
    assert office.runs(rule) == []
    with office.crm.session(AUTHOR) as s:
        s.update(AutomationRule, rule.id, {"name": "renamed"})
    office.later(minutes=55)
    office.crm.run_pending()
    assert len(office.runs(rule)) == 1


def test_c51_one_record_that_fails_does_not_keep_the_others_from_it(office: Office) -> None:
    rule = hourly(office, actions=[{"set": {"external_ref": {"field": "name"}}}])
    office.case(name="Taken", external_ref="Taken", state="open")
    bad, good = office.case(name="Taken"), office.case(name="Free")
    office.later(hours=1)
    office.crm.run_pending()
    assert [(r.record, r.outcome) for r in office.runs(rule)[1:]] == [(bad.id, RunOutcome.FAILED), (good.id, RunOutcome.DONE)]


def test_c52_two_processes_share_a_slot_and_an_event_and_each_is_worked_on_once(office: Office) -> None:
    rule, heard = hourly(office), office.rule(actions=[{"set": {"due": "2026-04-01"}}])
    case = office.case()
    office.later(hours=1)
    twin = CRM(office.crm.url, plugins=[plugin], roles=ROLES, runtime=Runtime.seeded(2, clock=FixedClock(office.clock.now())))
    at_once(lambda crm: crm.run_pending(), [office.crm, twin])
    twin.close()
    assert [r.reason for r in office.runs(rule)] == ["automation_slot", "automation_done"]
    assert [r.reason for r in office.runs(heard)] == ["automation_done"]
    assert office.now(case).version == 3


def test_c52_a_slot_that_broke_off_is_run_again_whole(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = hourly(office)
    case = office.case()
    office.later(hours=1)
    with monkeypatch.context() as patched:
        patched.setattr("crm_core.automation.engine.on_time", lambda *_: 1 / 0)
        office.crm.run_pending()
    assert office.runs(rule) == []
    office.crm.run_pending()
    assert len(office.runs(rule)) == 2
    assert office.now(case).version == 2


def test_c51_a_worker_runs_what_is_due(office: Office) -> None:
    rule = hourly(office)
    office.case()
    office.later(hours=1)
    worker = office.crm.worker()
    worker.start()
    try:
        for _ in range(200):
            if office.runs(rule):
                break
            threading.Event().wait(0.05)
    finally:
        worker.stop(10)
    assert len(office.runs(rule)) == 2


def test_c51_a_scheduled_rule_sets_event_rules_off(office: Office) -> None:
    hourly(office, actions=[{"set": {"state": "due"}}])
    heard = office.rule(runs_on=RuleTrigger.UPDATED, changed={"state": {"to": "due"}}, actions=[{"set": {"due": "2026-04-01"}}])
    case = office.case()
    office.later(hours=1)
    office.crm.run_pending()
    assert [r.outcome for r in office.runs(heard)] == [RunOutcome.DONE]
    assert office.now(case).due is not None
    assert office.clock.now() - utc("2026-03-02T08:00:00") == timedelta(hours=1)
