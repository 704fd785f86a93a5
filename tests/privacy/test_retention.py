"""Retention: what is older than its rule allows is emptied or deleted, but for what a hold keeps [C72]."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import (
    Actor,
    Change,
    Contact,
    Denied,
    Email,
    Entity,
    Field,
    FixedClock,
    Interaction,
    Invalid,
    Link,
    LoadError,
    Plugin,
    Ref,
    Role,
    Runtime,
    WriteCtx,
    check_write,
    field,
)
from crm_core.core_settings import CoreSettings
from crm_core.hooks.retention import Retention, before
from crm_core.privacy import due, hold, release, restrict, retain
from crm_core.privacy.removal import remove
from crm_core.rules import F

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OLD = NOW - timedelta(days=4 * 366)


class Case(Entity):
    title: Field[str] = field(classified="personal")
    cost: Field[int] = field(default=0)
    state: Field[str] = field(default="closed")
    closed_at: Field[datetime | None] = field(default=None)
    contact: Field[Ref[Contact] | None] = field(default=None)


class Page(Entity):
    case: Field[Ref[Case]] = field(on_delete="cascade")
    words: Field[str] = field(text=True, classified="personal")


desk = Plugin("desk", version="1.0")
desk.entities(Case, Page)
desk.retention("cases", Case, keep="3 years", since="closed_at", action="empty", where=F("state") == "closed")
desk.retention("lost", Case, keep="3 years", since="closed_at", action="delete", where=F("state") == "lost")
desk.retention("talks", Interaction, keep="3 years", since="at", action="delete")


@desk.hook(check_write, on=Case)
def keep_precious(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse to delete what was dear."""
    for change in changes:
        if ctx.op == "delete" and isinstance(change.record, Case) and change.record.cost > 100:
            ctx.refuse(change, "desk.precious")


@pytest.fixture
def crm(make_crm: Callable[..., Any]) -> Any:
    return make_crm(plugins=[desk], runtime=Runtime.seeded(1, clock=FixedClock(NOW)))


def words(crm: Any) -> str:
    """Return all that tables and journal say."""
    with crm.bound.begin(write=False) as connection:
        return repr([connection.execute(t.select()).all() for t in crm.tables.metadata.tables.values()])


def test_what_is_old_is_planned_then_emptied_or_deleted_and_leaves_the_journal(crm: Any, officer: Actor) -> None:
    with crm.session(officer) as s:
        old = s.create(Case(title="CANARYold", cost=7, closed_at=OLD))
        lost = s.create(Case(title="CANARYlost", state="lost", closed_at=OLD))
        s.create(Page(case=lost.ref, words="CANARYpage"))
        s.delete(s.create(Interaction(at=OLD, body="CANARYdeleted")))
        s.create(Interaction(at=OLD, body="CANARYtalk"))
        young = s.create(Case(title="young", closed_at=NOW - timedelta(days=300)))
        waits = s.create(Case(title="open", state="open", closed_at=OLD))
        never = s.create(Case(title="undated"))
        kept = s.create(Interaction(at=NOW, body="new"))
        planned = due(s)
        assert [(d.rule, d.entity, d.action, d.count, d.held) for d in planned] == [
            ("desk.cases", "desk.case", "empty", 1, 0),
            ("desk.lost", "desk.case", "delete", 1, 0),
            ("desk.talks", "interaction", "delete", 2, 0),
        ]
        assert "CANARYold" in s.get(Case, old.id).title
    crm.run_pending()
    assert [(d.rule, d.count, d.before) for d in retain(crm, officer)] == [(d.rule, d.count, d.before) for d in planned]
    with crm.session(officer) as s:
        assert due(s) == []
        assert (s.get(Case, old.id).title, s.get(Case, old.id).cost) == ("erased", 7)
        assert {c.id for c in s.query(Case).all()} == {old.id, young.id, waits.id, never.id}
        assert [i.id for i in s.query(Interaction).all()] == [kept.id]
    assert retain(crm, officer) == []
    assert "CANARY" not in words(crm)
    crm.run_pending()
    assert crm.audit.verify().ok
    journal = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        noted = connection.execute(select(journal.c.payload).where(journal.c.kind == "core.retained.v1").order_by(journal.c.id)).scalars()
        assert [(p["rule"], p["records"], p["action"]) for p in noted] == [(d.rule, d.count, d.action) for d in planned]


def test_what_a_person_under_a_hold_or_a_restriction_is_part_of_stays_until_that_ends(crm: Any, officer: Actor) -> None:
    with crm.session(officer) as s:
        ada = s.create(Contact(name="Ada", emails=[Email("ada@example.com")]))
        bob = s.create(Contact(name="Bob"))
        s.create(Case(title="hers", closed_at=OLD, contact=ada.ref))
        s.create(Interaction(at=OLD, body="to both", links=[Link.to(ada), Link.to(bob)]))
        s.create(Interaction(at=OLD, body="to Bob", links=[Link.to(bob)]))
        hold(s, ada, "case 4711")
        assert [(d.rule, d.count, d.held) for d in due(s)] == [("desk.cases", 0, 1), ("desk.talks", 1, 1)]
    assert [(d.rule, d.count, d.held) for d in retain(crm, officer)] == [("desk.cases", 0, 1), ("desk.talks", 1, 1)]
    with crm.session(officer) as s:
        assert s.query(Case).one().title == "hers"
        assert s.query(Interaction).one().body == "to both"
        release(s, ada)
        restrict(s, bob, "contests it")
    assert [(d.rule, d.count, d.held) for d in retain(crm, officer)] == [("desk.cases", 1, 0), ("desk.talks", 0, 1)]


def test_a_hold_on_what_would_go_along_keeps_the_whole(crm: Any, officer: Actor) -> None:
    with crm.session(officer) as s:
        ada = s.create(Contact(name="Ada", emails=[Email("ada@example.com")]))
        lost = s.create(Case(title="lost", state="lost", closed_at=OLD))
        page = s.create(Page(case=lost.ref, words="about her"))
        hold(s, page, "evidence")
        hold(s, ada, "case 4711")
    (done,) = retain(crm, officer)
    assert (done.count, done.refused) == (0, {"retention_held": 1})
    with crm.session(officer) as s:
        assert s.get(Page, page.id).words == "about her"


def test_what_a_plugin_refuses_is_counted_and_the_rest_goes(crm: Any, officer: Actor) -> None:
    with crm.session(officer) as s:
        dear = s.create(Case(title="dear", cost=1000, state="lost", closed_at=OLD))
        s.create_many(Case(title="cheap", state="lost", closed_at=OLD) for _ in range(4))
    (done,) = retain(crm, officer)
    assert (done.count, dict(done.refused)) == (4, {"refused": 1})
    with crm.session(officer) as s:
        assert [(c.id, c.title) for c in s.query(Case).all()] == [(dear.id, "dear")]


def test_a_run_that_was_stopped_goes_on_and_what_was_written_since_is_due_again(
    crm: Any, officer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_core.privacy.retention.BATCH", 3)
    with crm.session(officer) as s:
        cases = s.create_many(Case(title=f"case {n}", closed_at=OLD) for n in range(8)).ok
    calls: list[Any] = []

    def dying(*given: Any) -> None:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        remove(*given)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("crm_core.privacy.retention.remove", dying)
        retain(crm, officer)
    with crm.session(officer) as s:
        assert [d.count for d in due(s)] == [2]
    assert [d.count for d in retain(crm, officer)] == [2]
    crm.runtime.clock.advance(timedelta(days=1))
    with crm.session(officer) as s:
        s.update(Case, cases[0].id, {"title": "again"})
        assert [d.count for d in due(s)] == [1]


def test_tenants_say_how_long_and_only_officers_may(crm: Any, make_crm: Callable[..., Any], officer: Actor) -> None:
    with crm.session(officer) as s:
        s.create(Case(title="old", closed_at=OLD))
        s.change_settings(CoreSettings, {"keep": {"desk.cases": ""}})
        assert due(s) == []
        s.change_settings(CoreSettings, {"keep": {"desk.cases": "90 days"}})
        assert [d.before for d in due(s)] == [NOW - timedelta(days=90)]
        with pytest.raises(Invalid) as wrong:
            s.change_settings(CoreSettings, {"keep": {"desk.cases": "a while"}})
        assert "a while is no period" in str(wrong.value)
        s.change_settings(CoreSettings, {"keep": {"desk.case": "90 days"}})
        with pytest.raises(Invalid) as unknown:
            due(s)
        assert (unknown.value.code, unknown.value.params["suggestion"]) == ("retention_unknown", "desk.cases")
    with crm.session(Actor.system("privacy", tenant="other")) as s:
        assert due(s) == []
    clerk = make_crm(plugins=[desk], roles=[Role("clerk").allow(Case, "read"), Role("head").permit("core.settings")])
    with pytest.raises(Denied):
        retain(clerk, Actor("1", roles={"clerk"}))
    for role in ("clerk", "head"):
        with nullcontext() if role == "head" else pytest.raises(Denied), clerk.session(Actor("1", roles={role})) as s:
            s.change_settings(CoreSettings, {"keep": {"desk.cases": "1 year"}})


def test_periods_go_by_the_calendar() -> None:
    leap = datetime(2024, 2, 29, tzinfo=UTC)
    assert before(leap, "1 year") == datetime(2023, 2, 28, tzinfo=UTC)
    assert before(leap, "18 months") == datetime(2022, 8, 29, tzinfo=UTC)
    assert before(leap, "59 days") == datetime(2024, 1, 1, tzinfo=UTC)
    for wrong in ("", "3", "0 days", "1 week", "-1 days", "1.5 years", "1000 years"):
        with pytest.raises(Invalid):
            before(leap, wrong)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"since": "title"}, "retention_field"),
        ({"since": "nothing"}, "retention_field"),
        ({"keep": "for ever"}, "retention_period"),
        ({"action": "burn"}, "retention_action"),
        ({"where": F("nothing") == 1}, "rule_unknown_field"),
    ],
)
def test_a_rule_that_cannot_be_is_a_load_error(make_crm: Callable[..., Any], given: dict[str, Any], code: str) -> None:
    wrong = Plugin("wrong", version="1.0", requires={"desk": ">=1"})
    wanted: dict[str, Any] = {"keep": "1 year", "since": "closed_at", "action": "empty", **given}
    assert isinstance(wrong.retention("rule", Case, **wanted), Retention)
    with pytest.raises(LoadError) as e:
        make_crm(plugins=[desk, wrong])
    assert e.value.code == code
