"""Transactions of our own where an event loop runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_

from crm_core.errors import MissingExtra, NeedsAwait, ReadOnly
from crm_core.storage.engine import Bound, open_engine
from crm_core.testing.databases import Database
from tests.storage.counter import add_one, arun, count, create_counter

R = TypeVar("R")


@pytest.fixture
def bound(database: Database) -> Iterator[Bound]:
    opened = open_engine(database.url)
    create_counter(opened)
    yield opened
    opened.dispose()


def fail_after_adding(connection: sa.Connection) -> None:
    add_one(connection)
    raise KeyError


@pytest.mark.parametrize("owned", [True, False])
def test_an_asynchronous_engine_commits_and_rolls_back(database: Database, bound: Bound, owned: bool) -> None:
    async def main() -> None:
        host = create_async_engine(database.async_url)
        ours = open_engine(database.async_url if owned else host)
        assert await arun(ours, add_one) == 1
        with pytest.raises(KeyError):
            await arun(ours, fail_after_adding)
        with pytest.raises(ReadOnly):
            await arun(ours, add_one, write=False)
        await ours.run(ours.dispose)
        await host.dispose()

    asyncio.run(main())
    assert count(bound) == 1


def test_the_synchronous_form_on_an_asynchronous_engine_needs_await_where_a_loop_runs(database: Database) -> None:
    async def main() -> None:
        bound = open_engine(create_async_engine(database.async_url))
        with pytest.raises(NeedsAwait) as refused, bound.begin():
            pass
        assert refused.value.code == "needs_await"

    asyncio.run(main())


def test_the_synchronous_form_on_an_asynchronous_engine_has_a_connection_of_its_own_elsewhere(database: Database, bound: Bound) -> None:
    ours = open_engine(create_async_engine(database.async_url))
    with ours.begin() as connection:
        add_one(connection)
    ours.dispose()
    assert count(bound) == 1


def test_an_asynchronous_database_in_memory_has_no_second_connection(sqlite_file: Path) -> None:
    with pytest.raises(NeedsAwait), open_engine("sqlite+aiosqlite://").begin():
        pass


def test_tasks_of_one_loop_wait_for_each_other_without_stopping_it(database: Database, bound: Bound) -> None:
    async def main() -> int:
        ours = open_engine(database.async_url)
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        def slow(connection: sa.Connection) -> int:
            n = add_one(connection)
            await_(asyncio.sleep(0.001))
            return n

        heart = asyncio.create_task(beat())
        assert sorted(await asyncio.gather(*(arun(ours, slow) for _ in range(40)))) == list(range(1, 41))
        heart.cancel()
        await ours.run(ours.dispose)
        return beats

    assert asyncio.run(main()) > 100
    assert count(bound) == 40


def test_a_cancelled_waiter_leaves_the_line(sqlite_file: Path) -> None:
    async def main() -> None:
        bound = open_engine(f"sqlite+aiosqlite:///{sqlite_file}")
        holds = asyncio.Event()
        goes_on = asyncio.Event()

        def hold(_: sa.Connection) -> None:
            holds.set()
            await_(goes_on.wait())

        holder = asyncio.create_task(arun(bound, hold))
        await holds.wait()
        waiting = asyncio.create_task(arun(bound, lambda _: None))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        goes_on.set()
        await holder
        async with asyncio.timeout(5):
            await arun(bound, lambda connection: connection.exec_driver_sql("CREATE TABLE t (n integer)"))
        await bound.run(bound.dispose)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql+psycopg://x/y", "psycopg", "postgres"),
        ("postgresql+asyncpg://x/y", "asyncpg", "async"),
        ("sqlite+aiosqlite://", "greenlet", "async"),
    ],
)
def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as error:
        open_engine(url)
    assert error.value.params["extra"] == extra
