"""[C73] ``s.as_of(instant)``: records, queries and reports as they were, under today's roles over the values of then."""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, text

import crm_core.past
from crm_core import CRM, Account, Actor, Contact, FixedClock, Invalid, Money, NotFound, NotReadable, Refused, Runtime
from tests.audit.yard import ADMIN, ROLES, USERS, Diary, Job, People, plugin, seen
from tests.conftest import MakeCRM
from tests.figures import figure

LONG = bool(os.environ.get("CRM_TRUST_LONG"))
SEED = int(os.environ.get("CRM_TRUST_SEED", "20261122"))
START = datetime.fromisoformat("2026-03-01T08:00+00:00")


@pytest.fixture
def yard(make_crm: MakeCRM) -> Diary:
    clock = FixedClock(START)
    crm = make_crm(plugins=[plugin], roles=ROLES, directory=People(), runtime=Runtime.seeded(1, clock=clock))
    return Diary(crm, clock, random.Random(SEED))


@pytest.mark.timeout(3600 if LONG else 300)
def test_what_was_seen_at_an_instant_is_seen_again_as_of_it(yard: Diary) -> None:
    """Records, filtered pages, counts, sums, joins, list look-ups and conversions, for four users, over a random run."""
    steps = 400 if LONG else 44
    for i in range(steps):
        yard.step()
        if i % 12 == 5:
            yard.copy()
    wrong = []
    for at, actor, copy in yard.copies:
        with yard.crm.session(actor, write=False) as s:
            then = seen(yard.crm, s.as_of(at))
        wrong += [(at, actor.id, part, copy[part], then[part]) for part in copy if then[part] != copy[part]]
    cases = sum(len(copy) for _, _, copy in yard.copies)
    figure("S11 as_of", database=yard.crm.bound.kind, cases=cases, rows=steps, seed=SEED, result=f"{len(wrong)} differ", bar="as it was")
    assert wrong == []
    assert {len(copy["Job"]) for _, actor, copy in yard.copies if actor is USERS[-1]} != {0}


def job(diary: Diary, name: str = "a", **values: object) -> Job:
    with diary.crm.session(ADMIN) as s:
        return s.create(Job(name=name, price=Money("1", "EUR"), **values))  # type: ignore[arg-type]  # by name


def later(diary: Diary) -> datetime:
    """Return the present instant, and let an hour pass."""
    now = diary.clock.now()
    diary.clock.advance(timedelta(hours=1))
    return now


def test_a_record_is_there_between_its_creation_and_its_deletion(yard: Diary) -> None:
    before = later(yard)
    made = job(yard, owner="u3")
    alive = later(yard)
    with yard.crm.session(ADMIN) as s:
        s.update(Job, made.id, {"name": "b", "owner": "u9"})
    changed = later(yard)
    with yard.crm.session(ADMIN) as s:
        s.delete(made)
    gone = later(yard)
    with yard.crm.session(ADMIN, write=False) as s:
        assert [s.as_of(at).query(Job).count() for at in (before, alive, changed, gone)] == [0, 1, 1, 0]
        then = s.as_of(alive).get(Job, made.id)
        assert (then.name, then.version, then.updated_at, then.deleted_at) == ("a", 1, alive, None)
        assert s.as_of(changed).get(Job, made.id).version == 2
        with pytest.raises(NotFound):
            s.as_of(gone).get(Job, made.id)
        assert s.as_of(before).find(Job, made.id) is None
    with yard.crm.session(USERS[1], write=False) as s:
        assert [s.as_of(at).query(Job).count() for at in (alive, changed)] == [1, 0]


def test_what_a_role_hides_now_is_hidden_in_the_past_too(yard: Diary) -> None:
    made = job(yard, owner="u1", secret="psst")
    with yard.crm.session(ADMIN) as s:
        s.create(Contact(name="Ada"))
    then = later(yard)
    with yard.crm.session(ADMIN) as s:
        s.update(Job, made.id, {"secret": None})
    with yard.crm.session(USERS[0], write=False) as s:
        past = s.as_of(then)
        with pytest.raises(NotReadable):
            _ = past.get(Job, made.id).secret
        for statement in (select(Job.secret), select(func.count()).where(Job.secret == "psst")):
            with pytest.raises(NotReadable):
                past.execute(statement)
        with pytest.raises(Refused):
            past.execute(select(text("1")))
        assert past.query(Contact).count() == 0


def test_a_session_sees_the_past_behind_what_it_wrote_itself(yard: Diary) -> None:
    made = job(yard)
    then = later(yard)
    with yard.crm.session(ADMIN) as s:
        past = s.as_of(then)
        assert past.get(Job, made.id).name == "a"
        s.update(Job, made.id, {"name": "b"})
        new = s.create(Job(name="c", price=Money("1", "EUR")))
        assert [j.name for j in past.get_many(Job, [new.id, made.id])] == ["a"]
        assert s.as_of(yard.clock.now()).query(Job).count() == 2


def test_a_change_that_commits_between_two_statements_is_undone_too(yard: Diary) -> None:
    made = job(yard)
    then = later(yard)
    if yard.crm.bound.kind == "sqlite":
        pytest.skip("a reading transaction sees one state")
    with yard.crm.session(ADMIN, write=False) as s:
        past = s.as_of(then)
        assert past.get(Job, made.id).name == "a"
        with yard.crm.session(ADMIN) as other:
            other.update(Job, made.id, {"name": "b"})
        assert s.get(Job, made.id).name == "b"
        assert past.get(Job, made.id).name == "a"


def test_other_tenants_have_no_past_here(yard: Diary) -> None:
    with yard.crm.session(Actor.system("yard", tenant="other")) as s:
        theirs = s.create(Account(name="theirs"))
    then = later(yard)
    with yard.crm.session(Actor.system("yard", tenant="other")) as s:
        s.update(Account, theirs.id, {"name": "still theirs"})
    with yard.crm.session(ADMIN, write=False) as s:
        assert s.as_of(then).query(Account).count() == 0
        assert s.as_of(then).find(Account, theirs.id) is None


def test_a_clock_that_went_back_changes_no_order(yard: Diary) -> None:
    """The last change written then or earlier counts, as in a record's history."""
    made = job(yard)
    start = later(yard)
    for hours in (5, -3):
        yard.clock.advance(timedelta(hours=hours))
        with yard.crm.session(ADMIN) as s:
            s.update(Job, made.id, {"hours": 9 - hours})
    with yard.crm.session(ADMIN, write=False) as s:
        seen = [s.as_of(start + timedelta(hours=h)).get(Job, made.id).hours for h in (1, 2, 3, 4, 7)]
    assert seen == [0, 0, 12, 12, 12]


def test_an_instant_has_a_zone(yard: Diary) -> None:
    with yard.crm.session(ADMIN, write=False) as s:
        with pytest.raises(Invalid) as naive:
            s.as_of(datetime(2026, 1, 1))  # noqa: DTZ001  # the mistake
        assert naive.value.code == "naive_datetime"
        with pytest.raises(TypeError):
            s.as_of("2026-01-01")  # type: ignore[arg-type]  # the mistake


def test_too_many_changes_are_an_error_that_says_so(yard: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crm_core.past, "MOST_CHANGED", 2)
    then = later(yard)
    crm: CRM = yard.crm
    for name in "abc":
        job(yard, name)
    with crm.session(ADMIN, write=False) as s, pytest.raises(Invalid) as refused:
        s.as_of(then).query(Job).count()
    assert refused.value.code == "past_too_far"
