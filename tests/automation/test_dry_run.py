"""[C51] What a rule would have done in history: in the sight of whoever asks, and writing nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from crm_core import Actor, AutomationRule, CRMError, Invalid, RuleTrigger
from crm_core.rules import F, to_json
from crm_core.testing.state import state_hash
from tests.automation.office import AUTHOR, CLERK, START, Case, Office


def idea(**given: Any) -> AutomationRule:
    return AutomationRule(
        **{
            "name": "Idea",
            "entity": "office.case",
            "runs_on": RuleTrigger.UPDATED,
            "changed": {"state": {"to": "open"}},
            "actions": [
                {"set": {"external_ref": {"field": "old.state"}}},
                {"perform": "office.remind", "with": {"text": {"field": "name"}}},
            ],
            **given,
        }
    )


def lived(office: Office) -> tuple[Case, Case]:
    """Let two cases live for two days."""
    one, two = office.case(name="A"), office.case(name="B", owner="9")
    office.later(days=1)
    office.change(one, state="open")
    office.change(two, name="B2")
    office.later(days=1)
    office.change(two, state="open")
    office.change(one, state="shut")
    return one, two


def test_c51_a_dry_run_says_what_would_have_been_done_and_writes_nothing(office: Office) -> None:
    one, two = lived(office)
    before = state_hash(office.crm)
    with office.crm.session(AUTHOR, write=False) as s:
        tried = office.crm.automation.dry_run(s, idea())
        assert (tried.looked_at, tried.more) == (3, False)
        assert [(m.record, m.at) for m in tried.matches] == [(one.id, START + timedelta(days=1)), (two.id, START + timedelta(days=2))]
        assert tried.matches[0].actions == (
            {"set": {"external_ref": "new"}},
            {"perform": "office.remind", "with": {"case": one.id, "text": "A"}},
        )
        assert tried.matches[1].actions[1] == {"perform": "office.remind", "with": {"case": two.id, "text": "B2"}}
        conditional = office.crm.automation.dry_run(s, idea(condition=to_json(F("name") == "A")))
        assert [m.record for m in conditional.matches] == [one.id]
    assert state_hash(office.crm) == before


def test_c51_a_dry_run_agrees_with_what_the_rule_then_does(office: Office) -> None:
    rule = office.rule(runs_on=RuleTrigger.UPDATED, changed={"state": {}}, actions=[{"set": {"due": "2026-04-01"}}])
    lived(office)
    with office.crm.session(AUTHOR, write=False) as s:
        tried = office.crm.automation.dry_run(s, rule)
    office.crm.run_pending()
    assert [(m.record, m.event) for m in tried.matches] == [(r.record, r.event) for r in office.runs(rule)]


def test_c51_a_dry_run_looks_between_two_instants(office: Office) -> None:
    one, two = lived(office)
    day = timedelta(days=1)
    with office.crm.session(AUTHOR, write=False) as s:
        for since, until, found in (
            (START + 2 * day, None, [two.id]),
            (None, START + 2 * day, [one.id]),
            (START + day, START + 3 * day, [one.id, two.id]),
            (START + 3 * day, None, []),
        ):
            assert [m.record for m in office.crm.automation.dry_run(s, idea(), since=since, until=until).matches] == found
        first = office.crm.automation.dry_run(s, idea(), limit=1)
        assert ([m.record for m in first.matches], first.more) == ([one.id], True)
        with pytest.raises(Invalid):
            office.crm.automation.dry_run(s, idea(), since=datetime(2026, 1, 1))  # noqa: DTZ001  # the mistake under test


def test_c51_a_dry_run_shows_what_its_reader_may_see(office: Office) -> None:
    one, two = lived(office)
    look = idea(actions=[{"set": {"state": {"field": "name"}}}])
    with office.crm.session(Actor("9", roles={"private"}), write=False) as s:
        assert [m.record for m in office.crm.automation.dry_run(s, look).matches] == [two.id]
    with office.crm.session(AUTHOR, write=False) as s, pytest.raises(Invalid):
        office.crm.automation.dry_run(s, idea(actions=[{"set": {"state": {"field": "secret"}}}]))
    with office.crm.session(Actor("9", roles={"nothing"}), write=False) as s:
        with pytest.raises(Invalid) as error:
            office.crm.automation.dry_run(s, look)
        assert error.value.details[0].code == "unknown_entity"
    assert one.id != two.id


def test_c51_a_dry_run_tells_nothing_of_the_time_before_a_record_was_its_readers(office: Office) -> None:
    one, two = lived(office)
    office.change(one, owner="9")
    look = idea(actions=[{"set": {"state": {"field": "name"}}}])
    with office.crm.session(Actor("9", roles={"private"}), write=False) as s:
        assert [m.record for m in office.crm.automation.dry_run(s, look).matches] == [two.id]
    with office.crm.session(AUTHOR, write=False) as s:
        assert [m.record for m in office.crm.automation.dry_run(s, look).matches] == [one.id, two.id]


def test_c51_deleted_records_and_new_ones_have_a_history_too(office: Office) -> None:
    one, two = lived(office)
    with office.crm.session(CLERK) as s:
        s.delete(one)
    gone = idea(runs_on=RuleTrigger.DELETED, changed={}, actions=[{"perform": "office.remind", "with": {"text": {"field": "state"}}}])
    new = idea(runs_on=RuleTrigger.CREATED, changed={}, actions=[{"set": {"state": "x"}}])
    with office.crm.session(AUTHOR, write=False) as s:
        (match,) = office.crm.automation.dry_run(s, gone).matches
        assert match.actions[0]["with"]["text"] == "shut"
        assert [m.record for m in office.crm.automation.dry_run(s, new).matches] == [one.id, two.id]
    with office.crm.session(Actor("9", roles={"private"}), write=False) as s:
        assert office.crm.automation.dry_run(s, gone).matches == ()


def test_c51_a_rule_by_the_clock_is_tried_on_today(office: Office) -> None:
    one, two = lived(office)
    hourly = idea(
        runs_on=RuleTrigger.SCHEDULE, changed={}, schedule={"every_minutes": 60}, condition=to_json(F("state") == "open"),
        actions=[{"set": {"state": "late"}}],
    )  # fmt: skip
    with office.crm.session(AUTHOR, write=False) as s:
        tried = office.crm.automation.dry_run(s, hourly)
        assert ([m.record for m in tried.matches], tried.looked_at, tried.matches[0].at) == ([two.id], 2, office.clock.now())
    assert one.id != two.id
    with pytest.raises(CRMError), office.crm.session(AUTHOR, write=False) as s:
        office.crm.automation.dry_run(s, idea(schedule={"every_minutes": 60}))
