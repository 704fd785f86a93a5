"""What a row says of a record is seen by who sees the record: members of segments, and what vendors declare [S1, A01]."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy import String, cast, func, select

from crm_core import CRM, Account, Actor, Contact, Entity, Field, Invalid, LoadError, NotFound, Plugin, Role, Session, field, owner
from crm_core.permissions.to_python import holds
from crm_core.rules import related
from crm_core.runtime import FixedClock, Runtime
from tests.permissions.doors_world import NOW, SYSTEM


class Verdict(Entity):
    """What a machine found out about a record."""

    __points__: ClassVar[dict[str, str]] = {"record": "entity"}
    __seen_with__: ClassVar[str] = "record"

    entity: Field[str] = field(length=127)
    record: Field[str | None] = field(default=None, length=36)
    words: Field[str] = field(length=100)
    owner: Field[str | None] = field(default=None)


plugin = Plugin("judge", version="1.0")
plugin.entities(Verdict)
plugin.grants("account:read")

VERBS = ("read", "create", "update", "delete", "export")
CLERK = (
    Role("clerk")
    .allow(Account, *VERBS, where=owner)
    .allow(Contact, "read", "update", where=related("account", owner))
    .allow(Verdict, *VERBS)
)
CHIEF = Role("chief").allow(Account, *VERBS).allow(Verdict, *VERBS)
ME = Actor("1", roles={"clerk"})
"""User 1 sees their own accounts and the contacts of these."""


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    made: CRM = make_crm(plugins=[plugin], roles=[CLERK, CHIEF])
    return made


def verdict(s: Session, on: Entity, words: str) -> Verdict:
    return s.create(Verdict(entity="account" if isinstance(on, Account) else "contact", record=on.id, words=words))


def world(crm: CRM) -> dict[str, Any]:
    with crm.session(SYSTEM) as s:
        mine, theirs, gone = (s.create(Account(name=n, owner=o)) for n, o in (("mine", "1"), ("theirs", "2"), ("gone", "1")))
        ann, bob = (s.create(Contact(name=n, account=a.ref)) for n, a in (("Ann", mine), ("Bob", theirs)))
        on = {r.name: verdict(s, r, r.name) for r in (mine, theirs, gone, ann, bob)}
        s.delete(gone)
        return on | {"a": mine, "b": theirs}


def seen(s: Session) -> list[str]:
    return sorted(v.words for v in s.query(Verdict).all())


def test_a_row_is_seen_with_the_record_that_it_is_about_by_every_door(crm: CRM) -> None:
    on = world(crm)
    with crm.session(ME) as s:
        assert seen(s) == ["Ann", "mine"]
        assert s.query(Verdict).count() == s.execute(select(func.count()).select_from(Verdict)).scalar_one() == 2
        assert [v.words for v in s.query(Verdict).order_by(Verdict.words.desc()).page(1)] == ["mine"]
        joined = select(Verdict.words).join(Account, Verdict.record == cast(Account.id, String(36)))
        assert s.execute(joined).scalars().all() == ["mine"]
        for name in ("theirs", "gone", "Bob"):
            assert s.find(Verdict, on[name].id) is None
            assert not s.can("update", on[name])
            told = crm.explain(ME, "read", on[name])
            assert not told.allowed
            assert "seen with what it points at" in str(told)
        assert crm.explain(ME, "read", on["Ann"]).allowed
    with crm.session(Actor("2", roles={"clerk"})) as s:
        assert seen(s) == ["Bob", "theirs"]
    with crm.session(Actor("9", roles={"chief"})) as s:
        assert seen(s) == ["gone", "mine", "theirs"], "who sees all accounts sees what is said of each, and no contact exists for them"
        assert "sees all" in str(crm.explain(s.actor, "read", on["mine"]))
        assert "sees none" in str(crm.explain(s.actor, "read", on["Ann"]))
    for keeper in (SYSTEM, Actor.service("judge", tenant="main")):
        with crm.session(keeper) as s:
            assert len(seen(s)) == 5


def test_what_is_listed_is_what_each_record_answers_alone(crm: CRM) -> None:
    """The two readings of the rule, SQL and Python, say the same of every row, for whoever asks."""
    on = world(crm)
    rows = [v for v in on.values() if isinstance(v, Verdict)]
    people = [Actor(u, roles=r) for u in "129" for r in ({"clerk"}, {"chief"}, {"clerk", "chief"}, set[str]())]
    for actor in people:
        with crm.session(actor) as s:
            assert seen(s) == sorted(v.words for v in rows if s.can("read", v)), actor


def test_it_follows_what_happens_to_the_record(crm: CRM) -> None:
    on = world(crm)
    with crm.session(SYSTEM) as s:
        s.update(Account, on["b"].id, {"owner": "1"})
        s.update(Account, on["a"].id, {"owner": "2"})
    with crm.session(ME) as s:
        assert seen(s) == ["Bob", "theirs"]
    with crm.session(SYSTEM) as s:
        s.share(on["a"], "user:1", "read")
    with crm.session(ME) as s:
        assert seen(s) == ["Bob", "mine", "theirs"]
    with crm.session(SYSTEM) as s:
        s.delete(s.get(Account, on["b"].id))
    with crm.session(ME) as s:
        assert seen(s) == ["mine"]


def test_who_writes_one_must_see_the_record_and_cannot_reach_one_that_is_hidden(crm: CRM) -> None:
    on = world(crm)
    heard = []
    with crm.session(ME) as s:
        about_mine = verdict(s, on["a"], "mine too")
        for account in (on["b"].id, "00000000-0000-7000-8000-000000000000"):
            with pytest.raises(Invalid) as raised, s.savepoint():
                s.create(Verdict(entity="account", record=account, words="x"))
            heard.append(str(raised.value).replace(account, "ID"))
            with pytest.raises(Invalid), s.savepoint():
                s.update(Verdict, on["mine"].id, {"record": account})
    assert heard[0] == heard[1]
    with crm.session(SYSTEM) as s:
        s.update(Account, on["a"].id, {"owner": "2"})
    with crm.session(ME) as s:
        calls = (
            lambda: s.get(Verdict, about_mine.id),
            lambda: s.update(Verdict, about_mine.id, {"words": "y"}),
            lambda: s.delete(about_mine),
            lambda: s.history(about_mine),
        )
        for call in calls:
            with pytest.raises(NotFound), s.savepoint():
                call()


def test_a_field_that_does_not_point_is_a_load_error() -> None:
    class Loose(Entity):
        __seen_with__: ClassVar[str] = "record"

        record: Field[str] = field(length=36)

    loose = Plugin("loose", version="1.0")
    loose.entities(Loose)
    with pytest.raises(LoadError) as raised:
        CRM("sqlite://", plugins=[loose])
    assert raised.value.code == "bad_seen_with"


def test_a_row_that_points_at_nothing_is_seen_by_who_sees_all_that_it_might_point_at(crm: CRM) -> None:
    world(crm)
    with crm.session(SYSTEM) as s:
        loose = s.create_many(Verdict(entity="account", words=f"loose {n}") for n in range(2)).ok
    with crm.session(Actor("9", roles={"chief"})) as s:
        assert [w for w in seen(s) if "loose" in w] == ["loose 0", "loose 1"]
    with crm.session(ME) as s:
        mine = s.query(Verdict).all()
        rule = s.policy.rule("read", Verdict)
        s.facts.foresee([rule], [*mine, *loose])  # of a batch, all that is asked is read at once
        assert [holds(rule, s.codec(Verdict).values(v), s.facts) for v in (*mine, *loose)] == [True, True, False, False]
        assert seen(s) == ["Ann", "mine"]


def test_of_the_past_it_is_what_was_said_of_records_that_one_sees(make_crm: Any) -> None:
    clock = FixedClock(NOW)
    crm: CRM = make_crm(plugins=[plugin], roles=[CLERK, CHIEF], runtime=Runtime.seeded("past", clock=clock))
    on = world(crm)
    clock.advance(timedelta(minutes=1))
    then = clock.now()
    clock.advance(timedelta(minutes=1))
    with crm.session(SYSTEM) as s:
        s.delete(on["mine"])
    with crm.session(ME, write=False) as s:
        assert seen(s) == ["Ann"]
        assert sorted(v.words for v in s.as_of(then).query(Verdict).all()) == ["Ann", "mine"]
