"""When jobs run, where, as whom, and what is kept of it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, AsyncCRMSession, Conflict, Created, Denied, LoadError, NotFound, Plugin, Refused, Session
from crm_core.core_settings import CoreSettings
from crm_core.jobs import JobCancelled
from crm_core.jobs.cron import following, last
from crm_core.jobs.store import LEASE
from tests.jobs.conftest import START, Open
from tests.threads import at_once


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "crm_core")


def test_a_job_runs_once_for_each_occurrence_in_every_tenant(open_world: Open, plugin: Plugin) -> None:
    ran: list[str] = []

    @plugin.job(every="0 3 * * *", per_tenant=True)
    def nightly(s: Session) -> None:
        ran.append(s.actor.tenant)

    w = open_world()
    w.account("Acme", tenant="acme")
    w.crm.run_pending()
    assert ran == []
    w.later(days=1)
    w.crm.run_pending()
    assert sorted(ran) == ["acme", "main"]
    w.later(days=1)
    assert sorted(ran) == ["acme", "acme", "main", "main"]


def test_of_several_occurrences_missed_the_last_one_counts(open_world: Open, plugin: Plugin) -> None:
    slots: list[datetime] = []

    @plugin.job(every="0 * * * *")
    def hourly(s: Session) -> None:
        slots.append(s.job.slot)

    w = open_world()
    w.later(hours=5, minutes=30)
    assert slots == [datetime(2026, 1, 5, 15, tzinfo=UTC)]


def test_a_schedule_is_by_the_wall_clock_of_the_tenants_zone(open_world: Open, plugin: Plugin) -> None:
    slots: list[datetime] = []

    @plugin.job(every="0 3 * * *", per_tenant=True)
    def nightly(s: Session) -> None:
        slots.append(s.job.slot)

    w = open_world()
    with w.crm.session(Actor.system("test", tenant="main")) as s:
        s.change_settings(CoreSettings, {"timezone": "Asia/Shanghai"})
    w.later(days=1)
    assert slots == [datetime(2026, 1, 5, 19, tzinfo=UTC)]


def test_an_hour_that_the_clock_skips_or_repeats_makes_one_occurrence_a_day() -> None:
    slots = {last("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 27, tzinfo=UTC) + timedelta(hours=h)) for h in range(24 * 5)}
    assert len(slots) == 6
    slots = {last("30 2 * * *", "Europe/Berlin", datetime(2026, 10, 23, tzinfo=UTC) + timedelta(hours=h)) for h in range(24 * 5)}
    assert len(slots) == 6
    assert following("0 3 * * *", "UTC", datetime(2026, 1, 1, 3, tzinfo=UTC)) == datetime(2026, 1, 2, 3, tzinfo=UTC)


def test_a_job_acts_as_its_plugin_with_its_grants_alone(open_world: Open, plugin: Plugin) -> None:
    seen: list[str] = []

    @plugin.job(every="0 * * * *")
    def reach(s: Session) -> None:
        seen.append(s.actor.id)
        with pytest.raises(Denied):
            s.delete(s.create(Account(name="A")))

    w = open_world()
    w.later(hours=1)
    assert (seen, w.names()) == (["plugin:acme"], ["A"])


def test_a_job_that_fails_leaves_nothing_and_is_tried_again_later(open_world: Open, plugin: Plugin) -> None:
    tries: list[int] = []

    @plugin.job(every="0 3 * * *")
    def nightly(s: Session) -> None:
        tries.append(s.job.attempt)
        s.create(Account(name=f"try {s.job.attempt}"))
        if s.job.attempt < 3:
            raise ValueError("not yet")

    w = open_world()
    w.later(days=1)
    (status,) = w.crm.jobs.list()
    assert (status.state, tries, w.names()) == ("waiting", [1], [])
    for _ in range(4):
        w.later(minutes=5)
    assert (tries, w.names()) == ([1, 2, 3], ["try 3"])
    runs = w.crm.jobs.runs("acme.nightly")
    assert [(r.state, r.attempt) for r in runs] == [("done", 3), ("failed", 2), ("failed", 1)]
    assert runs[-1].error == "ValueError: not yet"
    assert runs[0].duration == timedelta(0)


def test_an_occurrence_that_was_tried_often_enough_is_given_up_and_the_next_one_runs(open_world: Open, plugin: Plugin) -> None:
    tries: list[int] = []

    @plugin.job(every="0 3 * * *")
    def nightly(s: Session) -> None:
        tries.append(s.job.attempt)
        raise ValueError("never")

    w = open_world(quarantine_after=None)
    w.later(days=1)
    for _ in range(17):
        w.later(minutes=60)
    assert tries == [1, 2, 3, 4, 5, 1]


def test_a_plugin_in_quarantine_has_no_jobs_until_it_is_released(open_world: Open, plugin: Plugin) -> None:
    tries: list[int] = []

    @plugin.job(every="0 * * * *")
    def hourly(s: Session) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")

    w = open_world(quarantine_after=2)
    for _ in range(6):
        w.later(hours=1)
    assert len(tries) == 2
    assert [s.state for s in w.crm.jobs.list()] == ["resting"]
    w.crm.release("acme")
    w.later(minutes=1)
    assert len(tries) == 3


def test_a_checkpoint_commits_what_was_done_and_the_next_try_goes_on_from_it(open_world: Open, plugin: Plugin) -> None:
    begun: list[Any] = []

    @plugin.job(every="0 3 * * *")
    def fill(s: Session) -> None:
        begun.append(s.job.checkpoint)
        for n in range(s.job.checkpoint or 0, 6):
            s.create(Account(name=f"a{n}"))
            if n % 2:
                s.job.progress(n + 1, 6, checkpoint=n + 1)
            if n == 4 and s.job.attempt == 1:
                raise ValueError("in the midst")

    w = open_world()
    w.later(days=1)
    assert (w.names(), begun) == (["a0", "a1", "a2", "a3"], [None])
    (failed,) = w.crm.jobs.runs()
    assert (failed.done, failed.total) == (4, 6)
    w.later(minutes=2)
    assert (w.names(), begun) == ([f"a{n}" for n in range(6)], [None, 4])
    w.later(days=1)
    assert begun[2] is None


def test_a_checkpoint_inside_a_savepoint_is_refused(open_world: Open, plugin: Plugin) -> None:
    @plugin.job(every="0 3 * * *")
    def fill(s: Session) -> None:
        with s.savepoint(), pytest.raises(Refused) as refused:
            s.job.progress(1, checkpoint=1)
        assert refused.value.code == "job_inside_savepoint"

    w = open_world()
    assert w.crm.jobs.run("acme.fill").state == "done"


def test_a_run_is_cancelled_at_its_next_word_and_not_tried_again(open_world: Open, plugin: Plugin) -> None:
    @plugin.job(every="0 3 * * *")
    def fill(s: Session) -> None:
        s.create(Account(name="kept"))
        s.job.progress(1, checkpoint=1)
        w.crm.jobs.cancel(s.job.id)
        s.create(Account(name="kept too"))
        with pytest.raises(JobCancelled):
            s.job.progress(2, checkpoint=2)
        s.create(Account(name="undone"))
        s.job.progress(3)
        s.job.progress(4, checkpoint=4)

    w = open_world()
    w.later(days=1)
    (run,) = w.crm.jobs.runs()
    assert (run.state, w.names()) == ("cancelled", ["kept", "kept too", "undone"])
    w.later(hours=3)
    assert len(w.crm.jobs.runs()) == 1
    with pytest.raises(Conflict) as over:
        w.crm.jobs.cancel(run.id)
    assert over.value.code == "job_not_running"
    with pytest.raises(NotFound):
        w.crm.jobs.cancel("nonsense")


def test_a_run_that_waits_for_its_next_try_is_given_up_by_cancelling_it(open_world: Open, plugin: Plugin) -> None:
    @plugin.job(every="0 3 * * *")
    def fill(s: Session) -> None:
        raise ValueError("no")

    w = open_world()
    w.later(days=1)
    (run,) = w.crm.jobs.runs()
    w.crm.jobs.cancel(run.id)
    w.later(hours=5)
    assert [r.state for r in w.crm.jobs.runs()] == ["cancelled"]


def test_a_job_is_run_now_whatever_its_schedule_says(open_world: Open, plugin: Plugin) -> None:
    @plugin.job(every="0 3 * * *", per_tenant=True)
    def nightly(s: Session) -> None:
        s.create(Account(name="made"))

    w = open_world()
    run = w.crm.jobs.run("acme.nightly", tenant="acme")
    assert (run.state, run.slot, w.names("acme"), w.names()) == ("done", w.clock.now(), ["made"], [])
    w.later(days=1)
    assert w.names("acme") == ["made", "made"]
    with pytest.raises(NotFound):
        w.crm.jobs.run("acme.nightlyy")


def test_two_workers_run_one_occurrence_once(open_world: Open, plugin: Plugin) -> None:
    """While one runs it, the other finds nothing to take; afterwards neither."""
    inside: list[int] = []

    @plugin.job(every="0 3 * * *", external=True)
    def nightly(s: Session) -> None:
        other = CRM(w.crm.url, plugins=[plugin], runtime=w.crm.runtime)
        try:
            inside.append(other.jobs.run_due())
            with pytest.raises(Conflict) as running:
                other.jobs.run("acme.nightly")
            assert running.value.code == "job_running"
        finally:
            other.close()

    w = open_world()
    w.later(days=1)
    assert inside == [0]
    assert [r.state for r in w.crm.jobs.runs()] == ["done"]


def test_many_workers_at_once_run_each_occurrence_once(open_world: Open, plugin: Plugin) -> None:
    ran: list[str] = []

    @plugin.job(every="0 * * * *", per_tenant=True)
    def hourly(s: Session) -> None:
        ran.append(f"{s.actor.tenant} {s.job.slot:%d %H}")

    w = open_world()
    for tenant in "abc":
        w.account("x", tenant)
    w.crm.run_pending()
    crms = [CRM(w.crm.url, plugins=[plugin], runtime=w.crm.runtime) for _ in range(4)]
    for _ in range(3):
        w.clock.advance(timedelta(hours=1))
        at_once(lambda crm: crm.jobs.run_due(), crms)
    for crm in crms:
        crm.close()
    w.crm.run_pending()
    assert len(ran) == len(set(ran)) == 12


@pytest.mark.parametrize("external", [False, True])
def test_what_is_done_under_a_lease_that_ran_out_is_never_committed(open_world: Open, plugin: Plugin, external: bool) -> None:
    """A worker that sleeps too long wakes up fenced: another has run the occurrence meanwhile."""

    @plugin.job(every="0 3 * * *", external=external)
    def slow(s: Session) -> None:
        if s.job.attempt == 1:
            s.job.progress(0, 2, checkpoint="begun")
            expire(w.crm)
            other = CRM(w.crm.url, plugins=[plugin], runtime=w.crm.runtime)
            assert other.jobs.run_due() == 1
            other.close()
        s.create(Account(name=f"try {s.job.attempt}"))
        s.job.progress(1, 2, checkpoint="made")

    w = open_world()
    w.later(days=1)
    assert w.names() == ["try 2"]
    assert [(r.state, r.attempt) for r in w.crm.jobs.runs()] == [("done", 2), ("lost", 1)]


def test_an_occurrence_that_kills_every_process_is_given_up(open_world: Open, plugin: Plugin) -> None:
    plugin.job(every="0 3 * * *", external=True)(nothing)
    w = open_world()
    w.clock.advance(timedelta(days=1))
    slot = w.clock.now().replace(hour=3)
    for _ in range(5):
        with w.crm.bound.begin() as connection:
            w.crm.jobs._store.register(connection, [("acme.nothing", "main", START, "idle")])
            assert w.crm.jobs._store.claim(connection, "acme.nothing", "main", slot, LEASE) is not None
        expire(w.crm)
    w.crm.jobs.run_due()
    (status,) = w.crm.jobs.list()
    assert status.state == "idle"
    assert [r.state for r in w.crm.jobs.runs()] == ["lost"] * 5


def test_an_async_job_and_an_async_subscriber_get_an_asynchronous_session(open_world: Open, plugin: Plugin) -> None:
    heard: list[str] = []

    @plugin.job(every="0 3 * * *")
    async def nightly(s: AsyncCRMSession) -> None:
        made = await s.create(Account(name="made"))
        await s.run(lambda s: s.job.progress(1, 1, checkpoint=made.id))

    @plugin.on(Created[Account])
    async def hear(s: AsyncCRMSession, event: Created[Account]) -> None:
        found = await s.get(Account, event.record.id)
        heard.append(found.name)

    w = open_world()
    w.later(days=1)
    assert (w.names(), heard) == (["made"], ["made"])


def test_a_worker_delivers_while_a_long_job_runs(open_world: Open, plugin: Plugin) -> None:
    """On SQLite too, between the job's checkpoints."""
    heard, written = threading.Event(), threading.Event()

    @plugin.job(every="0 3 * * *", external=True)
    def long(s: Session) -> None:
        written.set()
        assert heard.wait(30), "the event waited for the job"

    @plugin.on(Created[Account])
    def hear(s: Session, event: Created[Account]) -> None:
        heard.set()

    w = open_world()
    w.clock.advance(timedelta(days=1))
    worker = w.crm.worker()
    worker.start()
    try:
        assert written.wait(30)
        w.account("A")
        assert heard.wait(30)
    finally:
        worker.stop(timeout=20)
    assert [r.state for r in w.crm.jobs.runs()] == ["done"]
    assert [t.name for t in threading.enumerate() if t.name.startswith("crm-")] == []


def test_a_job_without_a_schedule_that_can_be_read_is_a_load_error() -> None:
    for every in ("nonsense", "0 3 * *", "61 * * * *", "0 0 0 3 * *"):
        plugin = Plugin("acme", version="1.0")
        plugin.job(every=every)(lambda session: None)
        with pytest.raises(LoadError) as raised:
            CRM("sqlite://", plugins=[plugin])
        assert raised.value.code == "job_schedule"


def test_outside_of_jobs_there_is_no_progress_to_tell_of(open_world: Open) -> None:
    w = open_world()
    with w.crm.session(Actor.system("test", tenant="main")) as s, pytest.raises(Refused) as refused:
        s.job.progress(1)
    assert refused.value.code == "no_job"


def test_runs_of_more_than_a_month_ago_are_taken_out_of_the_log(open_world: Open, plugin: Plugin) -> None:
    plugin.job(every="0 3 * * *")(nothing)
    w = open_world()
    w.later(days=1)
    w.later(days=31)
    assert len(w.crm.jobs.runs()) == 1


def expire(crm: CRM) -> None:
    """Let the time of every lease pass."""
    table = crm.tables.system.job
    with crm.bound.begin() as connection:
        connection.execute(table.update().values(until=None))


def nothing(session: Session) -> None:
    """Do nothing."""
