"""[C51, C52] Rules run once for each event, whichever way it came, and the log says why, or why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_core import (
    CRM,
    Account,
    Actor,
    AutomationRule,
    AutomationRun,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    RuleTrigger,
    RunOutcome,
    Runtime,
)
from crm_core.io import Importer, mapping_of
from crm_core.rules import F, related, to_json
from tests.automation.office import AUTHOR, CLERK, SETUP, Case, Office, Size

DONE = (RunOutcome.DONE, "automation_done")
NO_MATCH = (RunOutcome.NO_MATCH, "automation_no_match")
UPDATED: dict[str, Any] = {"runs_on": RuleTrigger.UPDATED}


def test_c51_a_new_record_that_fits_sets_a_rule_off_and_the_log_says_so(office: Office) -> None:
    rule = office.rule(condition=to_json(F("size") == Size.LARGE), actions=[{"set": {"state": "big", "worth": "2.5"}}])
    large, small = office.case(size=Size.LARGE), office.case()
    assert office.crm.run_pending() == 2
    assert (office.now(large).state, str(office.now(large).worth)) == ("big", "2.500000")
    assert office.now(large).updated_by == "1"
    assert office.now(small).state == "new"
    assert [(r.record, r.outcome, r.reason) for r in office.runs(rule)] == [(large.id, *DONE), (small.id, *NO_MATCH)]
    first, second = office.runs(rule)
    assert office.crm.automation.reason(first) == "The rule ran: set state, worth."
    assert office.crm.automation.reason(second, "zh_CN") == "条件不成立。"


def test_c51_a_field_that_goes_from_one_value_to_another_sets_a_rule_off(office: Office) -> None:
    rule = office.rule(**UPDATED, changed={"size": {"from": "small", "to": "large"}}, actions=[{"set": {"state": "grew"}}])
    case = office.case()
    office.change(case, name="Other")
    office.change(case, size="large")
    office.change(case, size="small")
    office.crm.run_pending()
    assert office.outcomes(rule) == [DONE, (RunOutcome.NO_MATCH, "automation_other_change")]
    assert office.now(case).state == "grew"


def test_c51_a_condition_speaks_of_the_values_before_and_after(office: Office) -> None:
    condition = (F("old.state") == "new") & (F("state") == "open") & F("old.due").is_null() & ~F("new.name").startswith("Z")
    rule = office.rule(**UPDATED, condition=to_json(condition), actions=[{"set": {"external_ref": {"field": "old.state"}}}])
    case, other = office.case(), office.case(state="open")
    office.change(case, state="open")
    office.change(case, state="shut")  # both before the delivery: each event is judged by its own before and after
    office.change(other, name="Zoe")
    office.crm.run_pending()
    assert office.outcomes(rule)[:3] == [DONE, NO_MATCH, NO_MATCH]
    assert office.now(case).external_ref == "new"


def test_c51_an_action_is_performed_with_values_of_the_record(office: Office) -> None:
    rule = office.rule(actions=[{"perform": "office.remind", "with": {"text": {"field": "name"}}}])
    case = office.case(name="Call Bob")
    office.crm.run_pending()
    assert office.now(case).state == "reminded: Call Bob"
    assert office.runs(rule)[0].params == {"actions": ["office.remind"]}


def test_c51_a_deleted_record_sets_off_what_was_its_last_state(office: Office) -> None:
    rule = office.rule(
        runs_on=RuleTrigger.DELETED, condition=to_json(F("state") == "open"), actions=[{"perform": "office.remind", "with": {"text": "x"}}]
    )
    case, other = office.case(state="open"), office.case()
    with office.crm.session(CLERK) as s:
        s.delete(case)
        s.delete(other)
    office.crm.run_pending()
    first, second = office.runs(rule)
    assert (first.outcome, first.params["error"]) == (RunOutcome.FAILED, "not_found")
    assert second.outcome is RunOutcome.NO_MATCH


def test_c51_rules_run_in_their_order_and_stopped_ones_do_not(office: Office) -> None:
    last = office.rule(name="last", position=2, actions=[{"set": {"state": "last"}}])
    office.rule(name="first", position=1, actions=[{"set": {"state": "first"}}])
    stopped = office.rule(name="stopped", position=9, active=False, actions=[{"set": {"state": "stopped"}}])
    case = office.case()
    office.crm.run_pending()
    assert office.now(case).state == "last"
    assert office.outcomes(stopped) == []
    with office.crm.session(AUTHOR) as s:
        s.update(AutomationRule, last.id, {"active": False})
        s.update(AutomationRule, stopped.id, {"active": True})
    office.crm.run_pending()
    assert office.outcomes(stopped) == []  # what was before it was switched on is none of its business
    again = office.case()
    office.crm.run_pending()
    assert office.now(again).state == "stopped"


def test_c51_events_before_a_rule_was_written_do_not_set_it_off(office: Office) -> None:
    before = office.case()
    rule = office.rule()
    after = office.case()
    office.crm.run_pending()
    assert [r.record for r in office.runs(rule)] == [after.id]
    assert office.now(before).state == "new"


def test_c52_g18_every_way_to_write_sets_the_same_rule_off_once(office: Office, tmp_path: Path) -> None:
    crm = office.crm
    rule = office.rule()
    with crm.session(CLERK) as s:
        s.create(Case(name="code"))
        s.upsert(Case(name="upsert", external_ref="u1"), on="external_ref")
        s.create_many([Case(name="bulk")])
    crm.transact(CLERK, lambda s: s.create(Case(name="transact")))
    (tmp_path / "cases.csv").write_text("name\nimported\n")
    Importer(crm, CLERK, mapping_of({"fields": {"name": "name"}}), entity="office.case").run(tmp_path / "cases.csv")
    with crm.bound.begin() as host, crm.session(CLERK, on=host) as s:
        s.create(Case(name="joined"))
    assert crm.run_pending() == 6
    assert crm.run_pending() == 0
    with crm.session(SETUP) as s:
        cases = {c.name: c.state for c in s.query(Case).all()}
        assert cases == dict.fromkeys(["code", "upsert", "bulk", "transact", "imported", "joined"], "seen")
        assert len(office.outcomes(rule)) == 6
    change = office.rule(**UPDATED, changed={"due": {}}, actions=[{"set": {"external_ref": {"field": "id"}}}])
    with crm.session(CLERK) as s:
        assert s.update_where(s.query(Case), {"due": "2026-04-01"}) == 6
        s.upsert(Case(name="upsert", external_ref="u1", due=None), on="external_ref")
        saved = s.query(Case).where(Case.name == "code").one()
        saved.due = None
        s.save(saved)
    crm.run_pending()
    assert [o for o, _ in office.outcomes(change)] == [RunOutcome.DONE] * 7


def test_c52_a_rule_does_not_set_itself_off_again_for_one_record(office: Office) -> None:
    rule = office.rule(**UPDATED, actions=[{"perform": "office.remind", "with": {"text": {"field": "state"}}}])
    case = office.case()
    office.change(case, state="go")
    office.crm.run_pending()
    assert office.now(case).state == "reminded: go"
    assert office.outcomes(rule) == [DONE, (RunOutcome.LOOP, "automation_loop")]
    assert "core.automation" in office.crm.automation.reason(office.runs(rule)[1])
    office.change(case, state="again")  # a new chain
    office.crm.run_pending()
    assert office.outcomes(rule)[2] == DONE


def test_c52_rules_that_set_each_other_off_without_end_are_cut_short(office: Office) -> None:
    rules = [
        office.rule(**UPDATED, changed={"state": {"to": f"s{n}"}}, actions=[{"set": {"state": f"s{n + 1}"}}], name=f"r{n}")
        for n in range(12)
    ]
    case = office.case()
    office.change(case, state="s0")
    office.crm.run_pending()
    assert office.now(case).state == "s8"
    assert office.outcomes(rules[8])[-1] == (RunOutcome.LOOP, "automation_too_deep")
    assert office.crm.delivery.parked() == []


def test_c51_a_failing_action_undoes_the_whole_run_and_nothing_else(office: Office) -> None:
    bad = office.rule(position=1, actions=[{"set": {"state": "half"}}, {"perform": "office.explode"}])
    good = office.rule(position=2, actions=[{"set": {"due": "2026-04-01"}}])
    wrong = office.rule(position=3, actions=[{"set": {"external_ref": {"field": "name"}}}])
    office.case(name="Taken", external_ref="Taken")
    case = office.case(name="Taken")
    office.crm.run_pending()
    assert (office.now(case).state, office.now(case).due is not None) == ("new", True)
    assert office.outcomes(good) == [DONE, DONE]
    assert [(r.outcome, r.params["action"], r.params["error"]) for r in office.runs(bad)] == [
        (RunOutcome.FAILED, "office.explode", "plugin_failed")
    ] * 2
    assert [r.outcome for r in office.runs(wrong)] == [RunOutcome.DONE, RunOutcome.FAILED]
    assert office.runs(wrong)[1].params["error"] == "not_unique"
    assert office.crm.delivery.parked() == []


@pytest.mark.parametrize("changes", [{"state": "x" * 300}, {"size": "huge"}])
def test_c51_a_value_of_the_record_that_does_not_fit_the_field_fails_the_run(office: Office, changes: dict[str, Any]) -> None:
    rule = office.rule(actions=[{"set": {"due": {"field": "name"}}}])
    office.case()
    office.crm.run_pending()
    assert [(r.outcome, r.params["error"], r.params["fields"]) for r in office.runs(rule)] == [(RunOutcome.FAILED, "invalid", ["due"])]
    with pytest.raises(Invalid):
        office.rule(actions=[{"set": changes}])


def test_c52_an_event_that_comes_twice_is_worked_on_once(office: Office) -> None:
    rule = office.rule(actions=[{"perform": "office.remind", "with": {"text": {"field": "state"}}}])
    case = office.case()
    office.crm.run_pending()
    table = office.crm.tables.system.subscription
    for _ in range(2):
        with office.crm.bound.begin() as connection:
            connection.execute(table.update().where(table.c.name == "core.automation").values(position=0))
        office.crm.run_pending()
    assert office.outcomes(rule) == [DONE]
    assert office.now(case).version == 2


def test_c52_a_crash_before_the_commit_leaves_nothing_and_the_next_delivery_does_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = office.rule()
    case = office.case()

    class Killed(BaseException):
        """The process ends here."""

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("crm_core.events.inside.advance", killed)  # after the rule ran, before the commit
        with pytest.raises(Killed):
            office.crm.run_pending()
    assert (office.now(case).state, office.outcomes(rule)) == ("new", [])
    assert office.crm.run_pending() == 1
    assert (office.now(case).state, office.outcomes(rule)) == ("seen", [DONE])


def test_c52_without_rules_nothing_is_delivered_and_a_first_rule_misses_nothing(office: Office) -> None:
    office.case()
    assert office.crm.run_pending() == 0
    rule = office.rule()
    office.case()
    with office.crm.session(AUTHOR) as s:
        s.delete(rule)
    assert office.crm.run_pending() == 0
    with office.crm.session(AUTHOR) as s:
        s.restore(AutomationRule, rule.id)
    office.case()
    office.crm.run_pending()
    assert office.outcomes(rule) == [DONE]


def test_c51_a_rule_about_a_plugin_that_is_not_loaded_rests_and_says_so(office: Office) -> None:
    rule = office.rule()
    hourly = office.rule(runs_on=RuleTrigger.SCHEDULE, schedule={"every_minutes": 60})
    office.case()
    office.later(hours=1)
    bare = CRM(office.crm.url, runtime=Runtime.seeded(2, clock=office.clock))
    bare.run_pending()
    assert bare.delivery.parked() == []
    bare.close()
    unfit = (RunOutcome.FAILED, "automation_unfit")
    assert office.outcomes(rule) == [unfit]
    assert office.outcomes(hourly) == [(RunOutcome.DONE, "automation_slot"), unfit]
    assert "entity (unknown_entity)" in office.crm.automation.reason(office.runs(rule)[0])
    office.case()
    office.crm.run_pending()
    assert office.outcomes(rule) == [unfit, DONE]


def test_c51_tenants_have_rules_of_their_own(office: Office) -> None:
    office.rule()
    there = Actor.system("setup", tenant="else")
    case = office.case(actor=there)
    office.crm.run_pending()
    with office.crm.session(there) as s:
        assert s.get(Case, case.id).state == "new"
    assert office.outcomes() == []


def test_c51_a_rule_may_ask_a_related_record_as_its_author_sees_it(office: Office) -> None:
    rule = office.rule(condition=to_json(related("account", F("industry") == "Steel")))
    with office.crm.session(CLERK) as s:
        steel, wood = s.create(Account(name="S", industry="Steel")), s.create(Account(name="W", industry="Wood"))
    office.case(account=steel.ref)
    office.case(account=wood.ref)
    office.case()
    office.crm.run_pending()
    assert office.outcomes(rule) == [DONE, NO_MATCH, NO_MATCH]


def test_the_log_is_written_by_automation_alone(office: Office) -> None:
    rule = office.rule()
    office.case()
    office.crm.run_pending()
    (run,) = office.runs()
    writer = Actor("3", roles={"writes", "clerk"})
    forged = AutomationRun(
        rule=rule.ref, key="x", at=run.at, entity="office.case", outcome=RunOutcome.DONE, reason="automation_done", record=run.record
    )
    with office.crm.session(writer) as s, pytest.raises(Invalid), s.savepoint():
        s.create(forged)
    with office.crm.session(SETUP) as s, pytest.raises(Conflict), s.savepoint():  # the key is taken once, whoever writes
        s.create(AutomationRun(rule=rule.ref, key=run.key, at=run.at, entity="x", outcome=RunOutcome.DONE, reason="x"))
    with office.crm.session(AUTHOR) as s:
        with pytest.raises((Denied, NotFound)), s.savepoint():
            s.delete(run)
        s.delete(rule)  # the log of a rule goes with it
    assert office.runs() == []
