"""A shop with workers of its own, as Celery's: processes that take jobs, write to the CRM and deliver its events.

    python examples/worker.py sqlite:///shop.db --jobs 40 --kill 3

The CRM is made before the workers are forked, as with gunicorn's --preload: each child works with connections of its own. A worker that is
killed loses nothing: its job is given out again and done once by its key, and its events are delivered by the others.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any

from crm_core import CRM, Account, Actor, Created, Entity, Event, Field, Plugin, Session, field

SHOP = Actor.system("shop", tenant="main")
FORK = multiprocessing.get_context("fork")


class Parcel(Entity):
    """What is sent to a new customer; two for one would be one too many."""

    customer: Field[str] = field(length=36)
    packed_by: Field[int]


depot = Plugin("depot", version="1.0.0")
depot.entities(Parcel)
depot.grants("account:read")


@depot.on(Created[Account])
def pack(s: Session, created: Event[Account]) -> None:
    """Run once for each new customer: what it writes commits together with the note that it was done."""
    s.create(Parcel(customer=created.record.id, packed_by=os.getpid()))


def work(crm: CRM, jobs: Connection) -> None:
    """Do jobs until there are none, and after each deliver what is due."""
    while (job := jobs.recv()) is not None:
        with crm.session(SHOP, idempotency_key=job) as s:
            s.create(Account(name=job))
        crm.run_pending()
        jobs.send(os.getpid())


def start(crm: CRM) -> tuple[Connection, Any]:
    """Start a worker."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=work, args=(crm, theirs), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def run(crm: CRM, jobs: int, workers: int, kill: int) -> int:
    """Give out jobs, those of dead workers again; return how many workers died."""
    waiting = deque(f"order {n}" for n in range(jobs))
    team: dict[Any, Any] = dict(start(crm) for _ in range(workers))
    busy = {pipe: waiting.popleft() for pipe in team}
    for pipe, job in busy.items():
        pipe.send(job)
    done = died = 0
    while busy:
        ready: list[Any] = wait(list(busy))
        for pipe in ready:
            job = busy.pop(pipe)
            try:
                pipe.recv()
                done += 1
            except (EOFError, ConnectionResetError):
                died += 1
                waiting.appendleft(job)
                team.pop(pipe).join()
                pipe.close()
                pipe, process = start(crm)
                team[pipe] = process
            if waiting:
                busy[pipe] = waiting.popleft()
                pipe.send(busy[pipe])
                if kill and done > jobs // 4:
                    kill -= 1
                    os.kill(team[next(iter(busy))].pid, signal.SIGKILL)  # who is busy the longest
    for pipe, process in team.items():
        pipe.send(None)
        process.join()
        pipe.close()
    return died


def main() -> None:
    """Read the command line and print what became of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kill", type=int, default=0, help="so many workers, in the middle of a job")
    given = parser.parse_args()
    crm = CRM(given.url, plugins=[depot])
    crm.migrate()
    with crm.session(SHOP) as s:
        s.create(Account(name="before the fork"))  # a connection is open and in the pool from here on
    died = run(crm, given.jobs, given.workers, given.kill)
    crm.run_pending()
    with crm.session(SHOP, write=False) as s:
        accounts = {a.id: a.name for a in s.query(Account).all()}
        parcels = s.query(Parcel).all()
    assert sorted(accounts.values()) == sorted(["before the fork", *(f"order {n}" for n in range(given.jobs))])
    assert sorted(p.customer for p in parcels) == sorted(accounts)
    print(f"{given.jobs} jobs, {died} workers killed, {len(parcels)} parcels, packed by {len({p.packed_by for p in parcels})} processes")
    crm.close()


if __name__ == "__main__":
    main()
