"""Segments: stored rules, kept as differences that are told once each, seen through the lens [C27]."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import (
    CRM,
    Account,
    AccountKind,
    Actor,
    Contact,
    CRMError,
    Denied,
    FixedClock,
    Invalid,
    NotFound,
    Plugin,
    Refused,
    Role,
    Session,
)
from crm_core import owner as mine
from crm_core.rules import F, from_json, matches, related, to_json
from crm_core.rules import check as checked
from crm_marketing import plugin
from crm_marketing.api import Marketing, RefreshSegment, Segment, SegmentEntered, SegmentKind, SegmentLeft, SegmentMember, Task, audience
from crm_sales.api import Lead, LeadIntake, Sales
from tests.marketing.conftest import MANAGER, MEMBER, SYSTEM, MakeCRM, kinds, people
from tests.threads import at_once

CHIEFS = to_json(F("title") == "CEO")


def codes(error: CRMError) -> set[str]:
    return {detail.code for detail in error.details} or {error.code}


def segment(s: Session, name: str = "chiefs", **given: Any) -> Segment:
    return s.create(Segment(**{"name": name, "rule": CHIEFS, **given}))


def names(query: Any) -> list[str]:
    return sorted(record.name for record in query.all())


def test_c27_a_segment_follows_its_rule_and_tells_who_entered_and_left(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MANAGER) as s:
        anna, ben = people(s, "Anna", "Ben", title="CEO")
        people(s, "Cleo", title="CTO")
        chiefs, marketing = segment(s), s.use(Marketing)
        first = marketing.refresh(chiefs)
        assert (first.entered, first.left) == (2, 0)
        clock.advance(timedelta(days=1))
        s.update(Contact, anna.id, {"title": "CTO"})
        people(s, "Dora", title="CEO")
        second = s.perform(RefreshSegment(segment=chiefs.ref))
        assert (second.entered, second.left) == (1, 1)
        assert [m.record for m in s.query(SegmentMember).all() if m.left_at == clock.now()] == [anna.id]
        assert names(marketing.inside(chiefs)) == ["Ben", "Dora"]
        s.update(Contact, anna.id, {"title": "CEO"})
        s.update(Contact, ben.id, {"title": None})
        third = marketing.refresh(chiefs)
        assert (third.entered, third.left) == (1, 1)
        kept = s.get(Segment, chiefs.id)
        assert (marketing.inside(kept).count(), kept.refreshed_at) == (2, clock.now())
        assert s.query(SegmentMember).where(SegmentMember.segment == chiefs.ref).count() == 3, "who comes back is the same member"
        assert marketing.refresh(chiefs).entered == 0
    told = kinds(crm, "marketing.segment")
    assert (told.count("marketing.segment_entered.v1"), told.count("marketing.segment_left.v1"), len(told)) == (4, 2, 6)


def test_c27_subscribers_hear_each_record_once(make_crm: MakeCRM) -> None:
    heard: list[tuple[str, str, str]] = []
    listener = Plugin("listener", version="1.0.0", requires={"marketing": ">=1"})
    listener.grants("marketing.segment:read")

    @listener.on(SegmentEntered)
    def enter(session: Session, event: SegmentEntered) -> None:
        heard.append(("in", event.entity, event.member))

    @listener.on(SegmentLeft)
    def leave(session: Session, event: SegmentLeft) -> None:
        heard.append(("out", event.entity, event.member))

    crm = make_crm(plugins=[plugin, listener])
    with crm.session(MANAGER) as s:
        (anna,) = people(s, "Anna", title="CEO")
        chiefs = segment(s)
        s.use(Marketing).refresh(chiefs)
    crm.run_pending()
    with crm.session(MANAGER) as s:
        s.update(Contact, anna.id, {"title": None})
        s.use(Marketing).refresh(chiefs)
    crm.run_pending()
    assert heard == [("in", "contact", anna.id), ("out", "contact", anna.id)]


def test_c27_two_refreshes_at_once_let_each_record_in_once(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        people(s, *(f"p{n}" for n in range(1200)), title="CEO")
        chiefs = segment(s)
    entered = at_once(lambda _: crm.transact(MANAGER, lambda s: s.use(Marketing).refresh(chiefs.ref).entered, retries=5), range(3))
    assert sorted(entered) == [0, 0, 1200]
    assert kinds(crm, "marketing.segment") == ["marketing.segment_entered.v1"] * 1200
    with crm.session(MANAGER) as s:
        assert (s.use(Marketing).inside(chiefs).count(), s.query(SegmentMember).count()) == (1200, 1200)


def test_c27_a_refresh_that_fails_changes_and_tells_nothing(crm: CRM) -> None:
    with pytest.raises(KeyboardInterrupt), crm.session(MANAGER) as s:
        people(s, "Anna", title="CEO")
        assert s.use(Marketing).refresh(segment(s)).entered == 1
        raise KeyboardInterrupt
    assert kinds(crm) == []


def test_c27_the_job_refreshes_the_dynamic_segments_of_each_tenant(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        people(s, "Anna", title="CEO")
        chiefs = segment(s)
        segment(s, "static", kind=SegmentKind.STATIC)
    (job,) = plugin.definitions.jobs
    assert (f"{job.plugin}.{job.fn.__name__}", job.per_tenant) == ("marketing.refresh_segments", True)
    with crm.session(Actor.service("marketing", tenant="main")) as s:
        job.fn(s)
    with crm.session(MANAGER) as s:
        assert s.use(Marketing).inside(chiefs).count() == 1


RULES = [
    F("title") != "CEO", ~(F("title") == "CEO"), F("title").is_null(), F("name").startswith("p1"),
    related("account", F("kind") == AccountKind.COMPANY), ~related("account", F("name") >= "B"), (F("title") == "CEO") | (F("name") < "p2"),
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_c27_what_sql_finds_is_what_the_rule_says_of_each_record(crm: CRM, rule: Any) -> None:
    with crm.session(SYSTEM) as s:
        firms = [s.create(Account(name="A")).ref, s.create(Account(name="B", kind=AccountKind.PERSON)).ref, None]
        made = [Contact(name=f"p{n}", title=("CEO", "CTO", None)[n % 3], account=firms[n // 3 % 3]) for n in range(27)]
        known = s.create_many(made).ok
        ready = checked(from_json(to_json(rule)), Contact, s)
        expected = sorted(c.name for c in known if matches(ready, c, s))
        assert s.use(Marketing).preview("contact", to_json(rule)) == len(expected)
        kept = segment(s, rule=to_json(rule))
        s.use(Marketing).refresh(kept)
        assert names(s.use(Marketing).inside(kept)) == expected


def test_c27_segments_are_of_accounts_too_and_beside_sales_of_leads(both: CRM) -> None:
    with both.session(SYSTEM) as s:
        s.create(Account(name="Acme", industry="tech"))
        tech = segment(s, "tech", entity="account", rule=to_json(F("industry") == "tech"))
        assert s.use(Marketing).refresh(tech).entered == 1
        s.use(Sales).intake(LeadIntake(name="Anna", company="Foo", email="anna@foo.io"))
        s.use(Sales).intake(LeadIntake(name="Ben", email="ben@foo.io"))
        foo = segment(s, "foo", entity="sales.lead", rule=to_json(F("company") == "Foo"))
        assert s.use(Marketing).preview("sales.lead", to_json(F("company").is_null())) == 1
        assert s.use(Marketing).refresh(foo).entered == 1
        assert names(s.use(Marketing).inside(foo)) == ["Anna"]
    with both.session(MANAGER) as s:
        assert s.use(Marketing).refresh(foo).entered == 0, "a refresh sees all leads, whoever asks"
        assert s.use(Marketing).inside(foo).count() == 0, "but the one who asks sees none"
        assert not s.can("read", Lead)


@pytest.mark.alone
def test_c27_a_module_opens_its_entities_by_a_hook(crm: CRM) -> None:
    assert audience.name == "marketing.audience"
    with crm.session(MANAGER) as s:
        for entity in ("sales.lead", "nothing", "marketing.segment"):
            with pytest.raises(Refused) as e, s.savepoint():
                segment(s, entity=entity)
            assert codes(e.value) == {"marketing.no_audience"}
        with pytest.raises(Invalid) as invalid:
            s.use(Marketing).preview("sales.lead", CHIEFS)
        assert codes(invalid.value) == {"marketing.no_audience"}
        assert Task("contact", lambda *_: 1).reason is None


@pytest.mark.parametrize(
    "rule",
    [
        to_json(F("colour") == "red"),
        to_json(mine),
        {"op": "eval", "code": "1"},
        {},
        {"op": "eq", "field": "title"},
        to_json(F("title") > 3),
    ],
    ids=["field", "actor", "node", "empty", "part", "type"],
)
def test_c27_a_rule_that_cannot_be_a_query_is_refused_with_the_reason(crm: CRM, rule: dict[str, Any]) -> None:
    with crm.session(MANAGER) as s:
        with pytest.raises(Refused) as e, s.savepoint():
            segment(s, rule=rule)
        assert codes(e.value) == {"marketing.bad_rule"}
        assert "reason" in e.value.details[0].params
        with pytest.raises(Invalid):
            s.use(Marketing).preview("contact", rule)


def test_c27_a_segment_keeps_its_kind_and_entity_and_may_change_its_rule(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        people(s, "Anna", title="CEO")
        chiefs = segment(s)
        for changes in ({"entity": "account"}, {"kind": "static"}):
            with pytest.raises(Refused) as e, s.savepoint():
                s.update(Segment, chiefs.id, changes)
            assert codes(e.value) == {"marketing.segment_fixed"}
        s.use(Marketing).refresh(chiefs)
        s.update(Segment, chiefs.id, {"rule": to_json(F("title") == "CTO")})
        assert s.use(Marketing).refresh(chiefs).left == 1


def test_c27_a_static_segment_is_a_list_that_somebody_keeps(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        marketing = s.use(Marketing)
        known = people(s, "Anna", "Ben", "Cleo")
        friends = segment(s, kind=SegmentKind.STATIC)
        assert [marketing.add(friends, known[:2]), marketing.add(friends, known), marketing.remove(friends, known[:1])] == [2, 1, 1]
        assert [marketing.remove(friends, known[:1]), marketing.add(friends, known[:1])] == [0, 1]
        assert names(marketing.inside(friends)) == ["Anna", "Ben", "Cleo"]
        with pytest.raises(Refused) as e, s.savepoint():
            marketing.refresh(friends)
        assert codes(e.value) == {"marketing.segment_static"}
        with pytest.raises(Refused) as e, s.savepoint():
            marketing.add(segment(s, "dynamic"), known)
        assert codes(e.value) == {"marketing.segment_dynamic"}
        with pytest.raises(Refused) as e, s.savepoint():
            marketing.add(friends, [friends])
        assert codes(e.value) == {"marketing.not_in_entity"}


def test_c27_segments_join_meet_and_differ(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        marketing = s.use(Marketing)
        known = people(s, *"abcdef")
        one, other = (segment(s, n, kind=SegmentKind.STATIC) for n in ("one", "other"))
        marketing.add(one, known[:4])
        marketing.add(other, known[2:5])
        assert names(marketing.combined("union", one, other)) == [*"abcde"]
        assert names(marketing.combined("intersection", one, other)) == [*"cd"]
        assert names(marketing.combined("difference", one, other)) == [*"ab"]
        found = marketing.overlap(one, other)
        assert (found.first, found.both, found.second) == (2, 2, 1)
        with pytest.raises(Refused) as e:
            marketing.overlap(one, segment(s, "firms", entity="account", kind=SegmentKind.STATIC))
        assert codes(e.value) == {"marketing.not_in_entity"}


def test_c27_members_and_counts_go_through_the_lens(make_crm: MakeCRM) -> None:
    own = Role("own").allow(Contact, "read", where=mine).allow(Segment, "read").allow(SegmentMember, "read")
    blind = Role("blind").allow(Segment, "read").allow(SegmentMember, "read")
    crm = make_crm(plugins=[plugin], roles=[own, blind])
    with crm.session(MANAGER) as s:
        people(s, "Anna", "Ben", title="CEO", owner="7")
        people(s, "Cleo", title="CEO", owner="8")
        chiefs = segment(s)
        s.use(Marketing).refresh(chiefs)
        assert s.use(Marketing).preview("contact", CHIEFS) == 3
    for roles, expected in (({"own"}, 2), ({"blind"}, 0)):
        with crm.session(Actor("7", roles=roles)) as s:
            assert s.use(Marketing).inside(chiefs).count() == expected
            assert s.use(Marketing).preview("contact", CHIEFS) == expected
            assert s.use(Marketing).overlap(chiefs, chiefs).both == expected


def test_c27_a_deleted_segment_takes_its_members_along_and_tells_nobody(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        people(s, "Anna", title="CEO")
        chiefs = segment(s)
        s.use(Marketing).refresh(chiefs)
        s.delete(chiefs)
        assert s.query(SegmentMember).count() == 0
        s.restore(Segment, chiefs.id)
        assert s.use(Marketing).refresh(chiefs).entered == 1
    assert kinds(crm, "marketing.segment") == ["marketing.segment_entered.v1"] * 2


def test_c27_who_may_not_change_a_segment_does_not_refresh_or_fill_it(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        chiefs, friends = segment(s), segment(s, "friends", kind=SegmentKind.STATIC)
        known = people(s, "Anna")
    with crm.session(MEMBER) as s:
        for call in (lambda: s.use(Marketing).refresh(chiefs), lambda: s.use(Marketing).add(friends, known)):
            with pytest.raises(Denied), s.savepoint():
                call()
        with pytest.raises(Denied), s.savepoint():
            s.perform(RefreshSegment(segment=chiefs.ref))
    member = SegmentMember(segment=chiefs.ref, entity="contact", record=known[0].id, entered_at=chiefs.created_at, key="x")
    with crm.session(MEMBER) as s, pytest.raises(Denied):
        s.create(member)
    with crm.session(SYSTEM) as s:
        for write in (lambda: s.create(member), lambda: s.update(Segment, chiefs.id, {"refreshed_at": chiefs.created_at})):
            with pytest.raises(Refused) as e, s.savepoint():
                write()
            assert codes(e.value) == {"marketing.kept_by_module"}
    with crm.session(Actor("9")) as s, pytest.raises(NotFound):
        s.use(Marketing).inside(chiefs)


def test_a01_rules_cannot_be_tried_on_records_that_their_author_does_not_see(make_crm: MakeCRM) -> None:
    """Whatever the values of hidden records are, who writes segments reads the same of them: rows, sums, history, explanations."""
    rep = Role("rep").allow(Contact, "read", where=mine).allow(Segment, "read", "create", "update").allow(SegmentMember, "read", "export")
    told = []
    for title in ("CEO", "clerk"):
        crm = make_crm(plugins=[plugin], roles=[rep])
        with crm.session(MANAGER) as s:
            people(s, "Anna", title="CEO", owner="7")
            people(s, "Cleo", title=title, owner="8")
        with crm.session(Actor("7", roles={"rep"})) as s:
            chiefs = segment(s)
            moved = s.use(Marketing).refresh(chiefs)
            members = s.query(SegmentMember).all()
            counted = s.execute(select(func.count(), func.max(SegmentMember.entered_at).is_(None)).select_from(SegmentMember)).all()
            history = [(e.verb, e.version) for e in s.history(chiefs)]
            told.append((moved, len(members), [tuple(row) for row in counted], history, s.get(Segment, chiefs.id).version))
        with crm.session(MANAGER) as s:
            assert s.query(SegmentMember).count() == (2 if title == "CEO" else 1), "the rule is tried on all"
    assert told[0] == told[1]
    assert told[0][1] == 1
