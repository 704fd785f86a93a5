"""Jobs and subscribers that are ``async def``, where the host's engine is asynchronous."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from crm_core import CRM, Account, Actor, AsyncCRMSession, Created, FixedClock, Plugin, Runtime
from tests.databases import Database
from tests.jobs.conftest import START

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql+psycopg": "postgresql+asyncpg"}


def asynchronous(url: str) -> str:
    """Return the same database through an asynchronous driver."""
    scheme, _, rest = url.partition("://")
    return f"{DRIVERS[scheme]}://{rest}"


def loud(heard: list[str]) -> Plugin:
    """Return a plugin whose job and subscriber are coroutines that wait for something."""
    plugin = Plugin("acme", version="1.0")
    plugin.grants("account:read,create")

    @plugin.job(every="0 3 * * *")
    async def nightly(s: AsyncCRMSession) -> None:
        await asyncio.sleep(0)
        made = await s.create(Account(name="made"))
        await s.run(lambda s: s.job.progress(1, 1, checkpoint=made.id))

    @plugin.on(Created[Account])
    async def hear(s: AsyncCRMSession, event: Created[Account]) -> None:
        await asyncio.sleep(0)
        heard.append((await s.get(Account, event.record.id)).name)

    return plugin


def test_they_run_in_the_hosts_loop_where_it_drives_them(database: Database) -> None:
    heard: list[str] = []
    clock = FixedClock(START)
    crm = CRM(asynchronous(database.url), plugins=[loud(heard)], runtime=Runtime.seeded(1, clock=clock))

    async def host() -> None:
        await crm.run(lambda c: c.migrate())
        clock.advance(timedelta(days=1))
        await crm.run(lambda c: c.run_pending())
        states = await crm.run(lambda c: [r.state for r in c.jobs.runs()])
        assert states == ["done"]
        await crm.bound.run(crm.close)

    asyncio.run(host())
    assert heard == ["made"]


def test_a_worker_runs_them_in_a_loop_of_its_own_beside_the_hosts(database: Database) -> None:
    heard: list[str] = []
    clock = FixedClock(START)
    crm = CRM(asynchronous(database.url), plugins=[loud(heard)], runtime=Runtime.seeded(1, clock=clock))

    async def host() -> None:
        await crm.run(lambda c: c.migrate())
        clock.advance(timedelta(days=1))
        worker = crm.worker()
        worker.start()
        async with crm.asession(Actor.system("test", tenant="main")) as s:
            await s.create(Account(name="by the host"))
        for _ in range(600):
            if len(heard) == 2:
                break
            await asyncio.sleep(0.05)
        await asyncio.to_thread(worker.stop, 20)
        await crm.bound.run(crm.close)

    asyncio.run(host())
    assert sorted(heard) == ["by the host", "made"]
