"""A worker may die anywhere, stop and wake again, or lose its connection: effects in the database still happen exactly once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core.errors import CommitOutcomeUnknown, CRMError
from crm_core.testing.databases import Database
from tests.children import start
from tests.events.crashing import POINTS, deliver, deliver_with_a_short_lease
from tests.events.raw import RawHost

MakeHost = Callable[..., RawHost]


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_leaves_each_effect_once_and_in_order(database: Database, new_host: MakeHost, point: str) -> None:
    host = new_host({"box.record": lambda s, e: s.effect(e)})
    records = host.records(3)
    host.journal(records * 4)
    assert start(deliver, database.url, point, False).ended() == 9, "it must have died where it was told to"
    committed = host.effects()
    assert sum(map(len, committed.values())) == {"after commit": 3, "between batches": 1}.get(point, 0)
    host.delivery().run_pending()
    assert host.effects() == host.expected()
    assert host.delivery().parked() == []


@pytest.mark.parametrize("point", ["after effect", "after position"])
def test_an_external_handlers_events_come_again_with_the_same_id(database: Database, new_host: MakeHost, point: str) -> None:
    """At least once: what the dead worker had in hand is handed out again, after its lease, and nothing else is."""
    host = new_host({"box.record": lambda s, e: s.effect(e)}, external=True)
    records = host.records(3)
    host.journal(records * 2)
    assert start(deliver, database.url, point, True).ended() == 9
    assert host.delivery().run_pending() == 0, "the dead worker's lease still runs"
    with host.begin() as connection:
        connection.execute(sa.update(host.tables.system.subscription).values(until=None))
    host.delivery().run_pending()
    expected, effects = host.expected(), host.effects()
    assert {r: list(dict.fromkeys(ids)) for r, ids in effects.items()} == expected
    assert sum(map(len, effects.values())) - 6 <= 1


def test_a_stopped_worker_blocks_nobody_for_longer_than_its_lease(postgres_databases: Any) -> None:
    """R10: it is stopped inside a batch; the server ends its transaction, another worker goes on, and its own comes to nothing."""
    database = postgres_databases.create()
    host = RawHost(database, {"box.record": lambda s, e: s.effect(e)})
    host.create()
    host.journal(host.records(5))
    child = start(deliver_with_a_short_lease, database.url)
    assert child.told.recv() == "inside"
    child.signal(signal.SIGSTOP)
    assert host.delivery().run_pending() == 0, "the stopped worker has the claim"
    deadline = time.monotonic() + 20
    while not host.effects() and time.monotonic() < deadline:
        host.delivery().run_pending()
        time.sleep(0.1)
    assert host.effects() == host.expected()
    child.signal(signal.SIGCONT)
    assert child.rest() == ["failed"]
    assert host.effects() == host.expected()
    host.bound.dispose()
    postgres_databases.drop(database)


def test_a_stale_lease_is_refused_by_its_token(new_host: MakeHost) -> None:
    """The first worker's external handler takes longer than its lease: what it says afterwards does not count."""
    calls: list[str] = []
    others: list[Any] = []

    def slow(session: Any, event: Any) -> None:
        calls.append(event.id)
        if others:
            with first.begin() as connection:
                connection.execute(sa.update(first.tables.system.subscription).values(until=None))  # as if its time had passed
            others.pop().run_pending()

    first = new_host({"box.record": slow}, external=True)
    second = new_host({"box.record": lambda s, e: calls.append(f"second {e.id}")}, external=True, seed=2)
    first.journal(first.records(3))
    ids = [i for found in first.expected().values() for i in found]
    others.append(second.delivery())
    assert first.delivery().run_pending() == 0
    assert calls == [ids[0], *(f"second {i}" for i in ids)]
    assert first.delivery().parked() == []


def test_a_broken_connection_is_raised_and_the_events_wait(new_host: MakeHost) -> None:
    host = new_host({"box.record": lambda s, e: s.effect(e)})
    host.journal(host.records(3))
    broken = [1]

    def fail(conn: Any, cursor: Any, text: str, *_: Any) -> None:
        if broken and "crm_subscription.token" in text:
            broken.clear()
            raise sa.exc.OperationalError(text, {}, Exception("gone"))

    sa.event.listen(host.bound.engine, "before_cursor_execute", fail)
    with pytest.raises((CRMError, sa.exc.DBAPIError)):
        host.delivery().run_pending()
    assert host.delivery().run_pending() == 3
    assert host.effects() == host.expected()


@pytest.mark.parametrize("count", [1, 3])
def test_a_commit_that_was_made_but_not_confirmed_is_found_out(new_host: MakeHost, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    unconfirmed: list[str] = []

    def handle(session: Any, event: Any) -> None:
        session.effect(event)
        unconfirmed.append(event.id)

    host = new_host({"box.record": handle})
    host.journal(host.records(count))
    real = host.begin

    @contextmanager
    def begin(*, write: bool = True) -> Iterator[sa.Connection]:
        with real(write=write) as connection:
            yield connection
        if unconfirmed:
            unconfirmed.clear()
            raise CommitOutcomeUnknown

    monkeypatch.setattr(host, "begin", begin)
    delivery = host.delivery()
    assert delivery.run_pending() == 0, "it cannot tell"
    assert host.effects() == host.expected()
    assert delivery.parked() == []
    assert delivery.run_pending() == 0


def test_a_batch_whose_token_is_no_longer_the_current_one_is_rolled_back_whole(new_host: MakeHost) -> None:
    takeovers = [1]

    def handle(session: Any, event: Any) -> None:
        session.effect(event)
        if takeovers:
            takeovers.clear()
            with session.begin() as connection:
                table = host.tables.system.subscription
                connection.execute(sa.update(table).values(token=table.c.token + 1))

    host = new_host({"box.record": handle})
    host.journal(host.records(3))
    assert host.delivery().run_pending() == 0
    assert host.effects() == {}
    assert host.delivery().run_pending() == 3
    assert host.effects() == host.expected()


def test_a_decision_waits_for_the_batch_in_hand(new_host: MakeHost) -> None:
    """Else the batch would queue an event behind a head that is gone, and nobody would ever take it up."""
    operators: list[threading.Thread] = []

    def handle(session: Any, event: Any) -> None:
        if event.record.id == bad and not operators:
            raise ValueError("poison")
        session.effect(event)
        if event.record.id == other:
            operators.append(threading.Thread(target=delivery.discard, args=("box.record", bad)))
            operators[0].start()
            operators[0].join(0.5)

    host = new_host({"box.record": handle})
    delivery = host.delivery()
    bad, other = host.records(2)
    host.journal([bad])
    assert delivery.run_pending() == 0
    host.journal([other, bad])
    delivery.run_pending()
    operators[0].join()
    host.journal([bad])
    assert delivery.run_pending() == 1
    assert host.effects()[bad] == host.expected()[bad][2:]


def test_worker_processes_race_without_a_second_effect(database: Database, new_host: MakeHost) -> None:
    host = new_host({"box.record": lambda s, e: s.effect(e)})
    records = host.records(10)
    host.journal(records * 30)
    children = [start(deliver, database.url, "never", False) for _ in range(3)]
    assert [child.ended() for child in children] == [0, 0, 0]
    host.delivery().run_pending()
    assert host.effects() == host.expected()
    print(f"{database.kind}: 300 events, 3 processes")
