"""Many writers of one database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.errors import Unavailable
from crm_core.storage import sqlite
from crm_core.storage.engine import Bound, open_engine
from crm_core.testing.databases import Database
from tests.storage.counter import add_one, count, create_counter


@pytest.fixture
def bound(database: Database) -> Iterator[Bound]:
    opened = open_engine(database.url)
    create_counter(opened)
    yield opened
    opened.dispose()


def race(bound: Bound, threads: int, rounds: int) -> tuple[list[BaseException], list[float]]:
    errors: list[BaseException] = []
    waits: list[float] = []

    def work() -> None:
        for _ in range(rounds):
            start = time.perf_counter()
            try:
                with bound.begin() as connection:
                    add_one(connection)
            except BaseException as e:
                errors.append(e)
            waits.append(time.perf_counter() - start)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return errors, sorted(waits)


def test_eight_threads_read_and_write_fifty_times_each_without_an_error(bound: Bound) -> None:
    errors, waits = race(bound, 8, 50)
    assert errors == []
    assert count(bound) == 400
    print(f"\n{bound.kind}: 8 x 50 read-modify-writes, p50 {waits[200] * 1e3:.1f} ms, p99 {waits[395] * 1e3:.1f} ms")


def test_thirty_two_writers_of_a_file_wait_fairly(sqlite_file: Path) -> None:
    bound = open_engine(f"sqlite:///{sqlite_file}")
    create_counter(bound)
    errors, waits = race(bound, 32, 10)
    assert errors == []
    p99 = waits[int(len(waits) * 0.99)]
    print(f"\nsqlite: 32 writers, p50 {waits[160] * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, worst {waits[-1] * 1e3:.0f} ms")
    # Fair: nobody waits for more than a few rounds of all the others, whatever a round takes here.
    assert p99 < max(1.0, 6 * waits[160])
    bound.dispose()


def test_two_crms_on_one_file_share_its_line(sqlite_file: Path) -> None:
    assert sqlite.queue_of(str(sqlite_file)) is not sqlite.queue_of(str(sqlite_file.with_name("other.db")))
    one = sqlite.queue_of(str(sqlite_file))
    assert sqlite.queue_of(str(sqlite_file.parent / "." / sqlite_file.name)) is one


def test_writers_enter_in_the_order_in_which_they_came() -> None:
    queue = sqlite.WriteQueue()
    entered: list[int] = []

    def work(number: int) -> None:
        with queue.turn(asynchronous=False):
            entered.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    with queue.turn(asynchronous=False):
        for thread in threads:
            thread.start()
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert entered == list(range(10))


def test_waiting_ends_with_an_error_that_can_be_retried() -> None:
    queue = sqlite.WriteQueue(seconds=0.05)
    with queue.turn(asynchronous=False), pytest.raises(Unavailable) as error, queue.turn(asynchronous=False):
        pass
    assert (error.value.code, error.value.params["retryable"]) == ("database_locked", True)
    with queue.turn(asynchronous=False):
        pass


def test_a_database_in_memory_serves_threads_one_after_another() -> None:
    bound = open_engine("sqlite://")
    create_counter(bound)
    errors, _ = race(bound, 8, 20)
    assert (errors, count(bound)) == ([], 160)
    bound.dispose()
