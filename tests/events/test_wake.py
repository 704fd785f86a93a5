"""The worker delivers soon after a commit, survives failures, sleeps no longer than needed, and ends when told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from crm_core.crm import CRM
from crm_core.events.event import Created
from crm_core.events.wake import Worker
from crm_core.hooks.plugin import Plugin
from crm_core.runtime import Runtime
from crm_core.session import Session
from crm_core.testing.databases import Database
from tests.events.boxes import Box
from tests.events.world import ADMIN, World, world

NEVER = timedelta(hours=1)


class Log:
    """What a subscriber saw, for a test that waits for it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._more = threading.Condition()

    def add(self, name: str) -> None:
        """Note a name."""
        with self._more:
            self.names.append(name)
            self._more.notify_all()

    def until(self, *names: str) -> list[str]:
        """Wait until all of *names* were noted, or too long; return what was."""
        with self._more:
            self._more.wait_for(lambda: set(names) <= set(self.names), timeout=20)
            return list(self.names)


@pytest.fixture
def log(plugin: Plugin) -> Log:
    made = Log()

    @plugin.on(Created[Box])
    def note(s: Session, event: Created[Box]) -> None:
        made.add(event.new["name"])

    return made


@pytest.fixture
def w(new_world: Callable[..., World], plugin: Plugin, log: Log) -> World:
    return new_world(plugin)


@pytest.fixture
def worker(w: World, closing: ExitStack) -> Iterator[Worker]:
    made = Worker(w.crm.delivery, w.crm.bound.engine, w.crm.tables, w.crm.runtime, poll=NEVER)
    yield made
    made.stop(timeout=20)


def test_a_commit_wakes_the_worker(w: World, worker: Worker, log: Log) -> None:
    w.boxes(["before"])
    worker.start()
    assert log.until("before") == ["before"]
    began = time.monotonic()
    for n in range(10):
        w.boxes([f"b{n}"])
        assert log.until(f"b{n}")[-1] == f"b{n}"
    print(f"{w.crm.bound.kind}: {(time.monotonic() - began) * 100:.0f} ms from commit to delivery, mean of 10")
    worker.stop(timeout=20)
    w.boxes(["after"])
    time.sleep(0.2)
    assert "after" not in log.names


def test_a_commit_of_another_process_wakes_the_worker(
    w: World, worker: Worker, log: Log, new_world: Callable[..., World], plugin: Plugin
) -> None:
    worker.start()
    elsewhere = new_world(plugin, seed=99)
    elsewhere.boxes(["theirs"])
    assert log.until("theirs") == ["theirs"]


def test_nothing_committed_is_missed_between_two_waits(w: World, worker: Worker, log: Log) -> None:
    worker.start()
    names = [f"b{n}" for n in range(60)]
    for name in names:
        w.boxes([name])
    assert log.until(*names) == names


def test_a_started_worker_starts_once_and_stops_once(w: World, worker: Worker, log: Log) -> None:
    before = threading.active_count()
    worker.start()
    worker.start()
    assert threading.active_count() == before + 1
    worker.stop(timeout=20)
    worker.stop(timeout=20)
    assert threading.active_count() == before
    worker.start()
    w.boxes(["again"])
    assert log.until("again") == ["again"]


def test_no_connection_goes_on_listening_after_a_stop(w: World, worker: Worker, log: Log, database: Database) -> None:
    worker.start()
    w.boxes(["a"])
    assert log.until("a") == ["a"]
    worker.stop(timeout=20)
    assert w.crm.bound.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool
    if database.kind == "postgresql":
        with w.crm.bound.engine.connect() as connection:
            assert list(connection.execute(sa.text("SELECT pg_listening_channels()"))) == []


def test_a_failing_run_is_logged_and_tried_again(
    w: World, log: Log, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("the database is away")]

    class Delivery:
        def run_pending(self) -> int:
            if failures:
                raise failures.pop()
            return w.crm.delivery.run_pending()

        def next_try(self) -> datetime | None:
            return None

    worker = Worker(Delivery(), w.crm.bound.engine, w.crm.tables, w.crm.runtime, poll=NEVER)
    w.boxes(["a"])
    worker.start()
    assert log.until("a") == ["a"]
    worker.stop(timeout=20)
    assert "delivery failed; next try in" in caplog.text
    assert "the database is away" in caplog.text


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_a_connection_that_the_server_ends_is_replaced(w: World, worker: Worker, log: Log, database: Database) -> None:
    worker.start()
    w.boxes(["a"])
    assert log.until("a") == ["a"]
    listening = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    with database.engine().begin() as connection:
        assert connection.scalars(sa.text(f"SELECT pg_terminate_backend(pid) {listening}")).all() == [True]
    w.boxes(["b"])
    assert log.until("b") == ["a", "b"]  # by the look that follows a new connection
    w.boxes(["c"])
    assert log.until("c") == ["a", "b", "c"]  # by what the new connection heard


def test_the_worker_wakes_for_a_parked_event_that_is_due(w: World, database: Database) -> None:
    tries: list[Any] = []
    done = threading.Event()

    class Delivery:
        def run_pending(self) -> int:
            tries.append(time.monotonic())
            if len(tries) == 2:
                done.set()
            return 0

        def next_try(self) -> datetime | None:
            return datetime.now(UTC) + timedelta(seconds=0.3) if len(tries) == 1 else None

    worker = Worker(Delivery(), w.crm.bound.engine, w.crm.tables, Runtime.system(), poll=NEVER)
    worker.start()
    assert done.wait(20)
    worker.stop(timeout=20)
    assert tries[1] - tries[0] >= 0.25


def test_the_callers_own_thread_can_do_it(w: World, worker: Worker, log: Log) -> None:
    w.boxes(["a"])

    def stop() -> None:
        log.until("a")
        worker.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    worker.run()
    stopper.join()
    assert log.names == ["a"]


def test_a_database_in_memory_is_polled(plugin: Plugin, log: Log) -> None:
    memory = Database("sqlite", "sqlite://")
    made = world(memory, plugin)
    worker = Worker(made.crm.delivery, made.crm.bound.engine, made.crm.tables, made.crm.runtime, poll=timedelta(milliseconds=20))
    worker.start()
    for name in ("a", "b"):
        made.boxes([name])
        assert log.until(name)[-1] == name
        time.sleep(0.1)  # so that the next comes while the worker waits
    worker.stop(timeout=20)
    made.crm.close()


def test_a_crm_gives_its_worker(w: World, log: Log) -> None:
    worker = w.crm.worker()
    worker.start()
    w.boxes(["a"])
    assert log.until("a") == ["a"]
    worker.stop(timeout=20)
    assert w.crm.run_pending() == 0


def test_a_crm_on_an_async_engine_delivers_too(database: Database, plugin: Plugin, log: Log) -> None:
    async def life() -> int:
        engine = create_async_engine(database.async_url)
        crm = CRM(engine, plugins=[plugin])
        await crm.run(lambda c: c.migrate())
        async with crm.asession(ADMIN) as s:
            await s.run(lambda sync: sync.create_many([Box(name="a"), Box(name="b")]))
        done = await crm.run(lambda c: c.run_pending())
        await engine.dispose()
        return done

    assert asyncio.run(life()) == 2
    assert log.names == ["a", "b"]


def test_an_idle_worker_does_not_spin(w: World) -> None:
    runs: list[float] = []

    class Delivery:
        def run_pending(self) -> int:
            runs.append(time.monotonic())
            return 0

        def next_try(self) -> datetime | None:
            return w.clock.now() - timedelta(hours=1)  # due, but in another worker's hands

    worker = Worker(Delivery(), w.crm.bound.engine, w.crm.tables, w.crm.runtime, poll=NEVER)
    worker.start()
    w.boxes(["a"])
    time.sleep(0.6)
    worker.stop(timeout=20)
    assert 2 <= len(runs) <= 20
