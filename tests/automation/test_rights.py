"""[C51] A rule may what its author may, never more; and nothing is stored that its author could not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from crm_core import Account, Actor, AutomationRule, CRMError, Denied, Invalid, Role, RuleTrigger, RunOutcome
from crm_core.automation.author import revived
from crm_core.rules import F, actor, owner, related, to_json
from tests.automation.conftest import MakeOffice
from tests.automation.office import AUTHOR, CLERK, ROLES, SETUP, START, Case, Office, People, Size

PRIVATE = Actor("5", roles={"private"})
SCHEDULED = {"runs_on": RuleTrigger.SCHEDULE, "schedule": {"every_minutes": 5}}


def wrong(office: Office, **given: Any) -> list[tuple[str, str]]:
    """Store a rule that is refused, and return what the refusal says, once it was said in both languages."""
    with pytest.raises(Invalid) as error:
        office.rule(**given)
    for locale in ("en", "zh"):
        said = [d.message(locale, office.crm.messages) for d in error.value.details]
        assert not [words for words in said if re.search(r"\{\w+\}", words) or "?" in words.replace("Did you mean", "")[:-1]]
    assert office.runs() == []
    return [(d.field, d.code) for d in error.value.details]


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"entity": "nothing"}, "entity", "unknown_entity"),
    ({"entity": "contact"}, "entity", "unknown_entity"),  # the author may read none
    ({"entity": "automation_rule"}, "entity", "unknown_entity"),
    ({"entity": "automation_run"}, "entity", "unknown_entity"),
    ({"condition": to_json(F("nothing") == "x")}, "condition", "unknown_field"),
    ({"condition": to_json(F("secret") == "x")}, "condition", "unknown_field"),
    ({"condition": to_json(F("old.secret") == "x")}, "condition", "unknown_field"),
    ({"condition": to_json(F("tenant") == "x")}, "condition", "unknown_field"),
    ({"condition": to_json(related("account", F("secret") == "x"))}, "condition", "unknown_field"),
    ({"condition": to_json(related("nobody", F("name") == "x"))}, "condition", "unknown_field"),
    ({"condition": {"op": "and", "rules": [to_json(F("name") == "x"), to_json(F("secret").is_null())]}}, "condition", "unknown_field"),
    ({"condition": to_json(F("name") > 5)}, "condition", "rule_constant"),
    ({"condition": to_json(F("size") > Size.LARGE)}, "condition", "rule_operator"),
    ({"condition": {"op": "exec", "code": "x"}}, "condition", "rule_unknown_node"),
    ({"condition": {"no": "op"}}, "condition", "rule_json"),
    ({"runs_on": RuleTrigger.UPDATED, "changed": {"secret": {}}}, "changed", "unknown_field"),
    ({"runs_on": RuleTrigger.UPDATED, "changed": {"nothing": {}}}, "changed", "unknown_field"),
    ({"runs_on": RuleTrigger.UPDATED, "changed": {"size": {"to": "huge"}}}, "changed.size", "bad_enum"),
    ({"runs_on": RuleTrigger.UPDATED, "changed": {"size": {"into": "large"}}}, "changed", "wrong_type"),
    ({"runs_on": RuleTrigger.UPDATED, "changed": {"size": "large"}}, "changed", "wrong_type"),
    ({"runs_on": RuleTrigger.UPDATED, "changed": ["size"]}, "changed", "wrong_type"),
    ({"changed": {"size": {}}}, "changed", "automation_not_here"),
    ({"schedule": {"every_minutes": 5}}, "schedule", "automation_not_here"),
    ({"runs_on": RuleTrigger.SCHEDULE}, "schedule", "bad_value"),
    ({**SCHEDULED, "schedule": {"every_minutes": 0}}, "schedule", "bad_value"),
    ({**SCHEDULED, "schedule": {"every_minutes": True}}, "schedule", "bad_value"),
    ({**SCHEDULED, "schedule": {"at": "25:00"}}, "schedule", "bad_value"),
    ({**SCHEDULED, "schedule": {"at": 9}}, "schedule", "bad_value"),
    ({**SCHEDULED, "schedule": {"at": "09:00", "zone": "Mars/Base"}}, "schedule", "bad_value"),
    ({**SCHEDULED, "schedule": {"at": "09:00", "zone": "../../etc/passwd"}}, "schedule", "bad_value"),
    ({**SCHEDULED, "schedule": {"at": "09:00", "days": []}}, "schedule", "bad_value"),
    ({**SCHEDULED, "schedule": {"at": "09:00", "days": ["someday"]}}, "schedule", "bad_value"),
    ({**SCHEDULED, "condition": to_json(F("old.name") == "x")}, "condition", "automation_not_here"),
    ({**SCHEDULED, "actions": [{"set": {"name": {"field": "old.name"}}}]}, "actions[0]", "automation_not_here"),
    ({"actions": []}, "actions", "wrong_type"),
    ({"actions": {"set": {"name": "x"}}}, "actions", "wrong_type"),
    ({"actions": [{"set": {"name": "x"}}] * 21}, "actions", "wrong_type"),
    ({"actions": [{"run": "rm"}]}, "actions[0]", "wrong_type"),
    ({"actions": [{"set": {}}]}, "actions[0]", "wrong_type"),
    ({"actions": [{"set": {"name": "x"}, "perform": "office.remind"}]}, "actions[0]", "wrong_type"),
    ({"actions": [{"set": {"nothing": "x"}}]}, "actions[0].nothing", "unknown_field"),
    ({"actions": [{"set": {"secret": "x"}}]}, "actions[0].secret", "unknown_field"),
    ({"actions": [{"set": {"version": 7}}]}, "actions[0].version", "read_only_field"),
    ({"actions": [{"set": {"name": 7}}]}, "actions[0].name", "wrong_type"),
    ({"actions": [{"set": {"name": None}}]}, "actions[0].name", "required"),
    ({"actions": [{"set": {"name": {"field": "secret"}}}]}, "actions[0]", "unknown_field"),
    ({"actions": [{"set": {"name": {"field": "nothing"}}}]}, "actions[0]", "unknown_field"),
    ({"runs_on": RuleTrigger.DELETED}, "actions[0]", "automation_not_here"),
    ({"actions": [{"perform": "office.fly"}]}, "actions[0]", "unknown_action"),
    ({"actions": [{"perform": "office.remind", "with": {"text": "x", "loud": True}}]}, "actions[0].loud", "unknown_field"),
    ({"actions": [{"perform": "office.remind", "with": {"text": "x", "loud": {"field": "name"}}}]}, "actions[0].loud", "unknown_field"),
    ({"actions": [{"perform": "office.remind"}]}, "actions[0].text", "required"),
    ({"actions": [{"perform": "office.remind", "with": {"text": "x", "times": "many"}}]}, "actions[0].times", "wrong_type"),
    ({"actions": [{"perform": "office.remind", "with": {"text": {"field": "secret"}}}]}, "actions[0]", "unknown_field"),
    ({"entity": "account", "actions": [{"perform": "office.remind", "with": {"text": "x"}}]}, "actions[0].case", "required"),
]


@pytest.mark.parametrize(("given", "where", "code"), BAD, ids=[f"{w}-{c}-{n}" for n, (_, w, c) in enumerate(BAD)])
def test_c51_a_rule_that_does_not_fit_is_refused_when_it_is_stored(office: Office, given: Mapping[str, Any], where: str, code: str) -> None:
    assert wrong(office, **given) == [(where, code)]


def test_c51_all_that_is_wrong_is_said_at_once(office: Office) -> None:
    found = wrong(office, condition=to_json(F("nothing") == "x"), actions=[{"set": {"nothing": 1}}, {"perform": "office.fly"}])
    assert found == [("condition", "unknown_field"), ("actions[0].nothing", "unknown_field"), ("actions[1]", "unknown_action")]


def test_c51_hidden_and_unknown_give_the_same_words(office: Office) -> None:
    said = []
    for name in ("secret", "sekret"):
        with pytest.raises(Invalid) as error:
            office.rule(condition=to_json(F(name) == "x"), actions=[{"set": {name: "x"}}])
        said.append([d.message().replace(name, "?") for d in error.value.details])
    assert said[0] == said[1]


def test_c51_a_rule_is_checked_when_it_is_changed_too(office: Office) -> None:
    rule = office.rule()
    with office.crm.session(AUTHOR) as s:
        with pytest.raises(Invalid), s.savepoint():
            s.update(AutomationRule, rule.id, {"actions": [{"set": {"secret": "x"}}]})
        with pytest.raises(Invalid), s.savepoint():
            s.update_where(s.query(AutomationRule), {"entity": "nothing"})
        with pytest.raises(Invalid), s.savepoint():
            s.update(AutomationRule, rule.id, {"runs_as": {"id": "system:root", "kind": "system"}})
        with pytest.raises(Invalid), s.savepoint():
            s.create(AutomationRule(name="x", entity="office.case", runs_on=RuleTrigger.CREATED, actions=rule.actions, runs_as={"id": "2"}))
    with office.crm.session(CLERK) as s, pytest.raises(Denied):
        s.create(AutomationRule(name="x", entity="office.case", runs_on=RuleTrigger.CREATED, actions=rule.actions))


def test_c51_a_denied_action_is_denied_and_the_log_says_so(office: Office) -> None:
    rule = office.rule(actions=[{"perform": "office.shred"}])
    case = office.case()
    office.crm.run_pending()
    (run,) = office.runs(rule)
    assert (run.outcome, run.params["error"]) == (RunOutcome.DENIED, "denied")
    assert office.now(case).deleted_at is None
    assert "office.shred failed: denied" in office.crm.automation.reason(run)


def test_c51_a_record_that_the_author_does_not_see_does_not_exist_for_the_rule(office: Office) -> None:
    rule = office.rule(actor=PRIVATE)
    mine, other = office.case(owner="5"), office.case(owner="7")
    office.crm.run_pending()
    assert [r.record for r in office.runs(rule)] == [mine.id]
    assert office.now(other).state == "new"


def test_c51_a_condition_tells_nothing_of_related_records_that_the_author_does_not_see(make_office: MakeOffice) -> None:
    blind = Role("blind").allow(AutomationRule, "read", "create").allow(Case, "read", "update").allow(Account, "read", where=owner)
    office = make_office(roles=[*ROLES, blind])
    rule = office.rule(actor=Actor("6", roles={"blind"}), condition=to_json(related("account", F("industry") == "Steel")))
    with office.crm.session(SETUP) as s:
        hidden, seen = (s.create(Account(name="S", industry="Steel", owner=o)) for o in ("1", "6"))
    office.case(account=hidden.ref)
    office.case(account=seen.ref)
    office.crm.run_pending()
    assert [r.outcome for r in office.runs(rule)] == [RunOutcome.NO_MATCH, RunOutcome.DONE]


def test_c51_whoever_says_what_a_rule_does_is_its_author(office: Office) -> None:
    with office.crm.session(SETUP) as s:
        rule = s.create(
            AutomationRule(name="x", entity="office.case", runs_on=RuleTrigger.CREATED, actions=[{"perform": "office.shred"}], owner="1")
        )
    assert rule.runs_as["kind"] == "system"
    with office.crm.session(AUTHOR) as s:
        assert s.update(AutomationRule, rule.id, {"name": "y", "position": 3}).runs_as["kind"] == "system"
        changed = s.update(AutomationRule, rule.id, {"actions": [{"perform": "office.shred"}, {"set": {"state": "x"}}]})
        assert changed.runs_as["id"] == "1"  # a weaker user's words do not run with stronger rights
    case = office.case()
    office.crm.run_pending()
    assert [r.outcome for r in office.runs(rule)] == [RunOutcome.DENIED]
    assert office.now(case).deleted_at is None
    with office.crm.session(SETUP) as s:
        s.update(AutomationRule, rule.id, {"active": False})
    with office.crm.session(SETUP) as s:
        assert s.update(AutomationRule, rule.id, {"active": True}).runs_as["kind"] == "system"


def test_c51_rights_that_the_author_lost_are_lost_to_the_rule(make_office: MakeOffice) -> None:
    people = People({a.id: a for a in (AUTHOR, CLERK)})
    office = make_office(directory=people)
    rule = office.rule()
    office.case()
    office.crm.run_pending()
    people.known["1"] = Actor("1", roles={"looks", "clerk"})  # of the roles of then, none is left
    office.case()
    office.crm.run_pending()
    people.known["1"] = AUTHOR
    people.gone.add("1")
    office.later(seconds=2)
    office.case()
    office.crm.run_pending()
    people.gone.clear()
    del people.known["1"]
    office.later(seconds=2)
    office.case()
    office.crm.run_pending()
    gone = (RunOutcome.DENIED, "automation_no_author")
    assert office.outcomes(rule) == [(RunOutcome.DONE, "automation_done"), (RunOutcome.FAILED, "automation_unfit"), gone, gone]
    assert {r.record for r in office.runs(rule)[1:]} == {None}  # who sees no record hears of none
    assert "Nobody is 1 any more" in office.crm.automation.reason(office.runs(rule)[2])


def test_c51_attributes_of_the_author_are_those_of_the_hour_of_writing_where_nobody_knows_better(office: Office) -> None:
    author = Actor("1", roles={"author"}, teams={"a"}, attributes={"stage": "hot", "limit": Decimal("2.5"), "since": START, "all": ["x"]})
    rule = office.rule(actor=author, condition=to_json(F("state") == actor("stage")))
    with office.crm.session(SETUP, write=False) as s:
        then = revived(s, rule.runs_as)
    assert then == author
    assert then is not None
    assert then.attributes == author.attributes
    office.case(state="hot")
    office.case(state="cold")
    office.crm.run_pending()
    assert [r.outcome for r in office.runs(rule)] == [RunOutcome.DONE, RunOutcome.NO_MATCH]


@pytest.mark.parametrize("runs_as", [{}, {"id": "1"}, {"id": "plugin:gone", "kind": "service"}, {"id": "1", "roles": 5, "teams": []}])
def test_c51_an_author_that_a_hand_wrote_into_the_table_is_nobody(office: Office, runs_as: dict[str, Any]) -> None:
    rule = office.rule()
    with office.crm.bound.begin() as connection:
        connection.execute(office.crm.table(AutomationRule).update().values(runs_as=runs_as))
    office.case()
    office.crm.run_pending()
    assert office.outcomes(rule) == [(RunOutcome.DENIED, "automation_no_author")]
    assert office.crm.delivery.parked() == []


def test_c51_the_journal_names_the_author_and_the_rule(office: Office) -> None:
    rule = office.rule()
    case = office.case()
    office.crm.run_pending()
    with office.crm.bound.begin(write=False) as connection:
        journal = office.crm.tables.system.journal
        row = connection.execute(journal.select().where(journal.c.kind == "office.case.updated.v1")).one()
    assert (row.actor, row.reason, row.plugin) == ("1", f"automation rule {rule.id}", "core")
    assert row.payload["chain"] == [f"office.case.created.v1 > core.automation:{rule.id}:{case.id}"]


def test_a_rule_is_a_record_like_others(office: Office) -> None:
    with office.crm.session(Actor("9", roles={"looks"})) as s:
        with pytest.raises(CRMError):
            s.create(AutomationRule(name="x", entity="office.case", runs_on=RuleTrigger.CREATED, actions=[{"set": {"state": "x"}}]))
        assert office.crm.describe(AutomationRule, s.actor)["actions"]["read"]
