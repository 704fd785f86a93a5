"""A CRM in processes that are forked, in servers with several workers, and in many threads: nothing is shared that must not be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx

from crm_core import CRM, Account, Actor, Conflict, Contact, Session
from crm_core.testing.databases import Database, PostgresDatabases

HERE = Path(__file__).parent
WHO = Actor.system("threads", tenant="main")
THREADS = 32


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH", "")]), **more}


def forked(database: Database, *hold: str) -> str:
    program = [sys.executable, str(HERE / "forking.py"), database.url, "3", "4", *hold]
    run = subprocess.run(program, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip() or run.stderr


def test_children_of_a_fork_have_connections_of_their_own(database: Database) -> None:
    assert forked(database) == "17 records, 17 names, children ended with [0]"


def test_a_fork_in_the_middle_of_a_transaction_is_well_on_postgresql_and_refused_on_sqlite(database: Database) -> None:
    found = forked(database, "hold")
    if database.kind == "postgresql":
        assert found == "18 records, 18 names, children ended with [0]"
    else:  # its locks would not hold in a child: to say so is better than to write past the parent
        assert found == "6 records, 6 names, children ended with [3]"


@contextmanager
def served(*command: str, **more: str) -> Iterator[str]:
    """Run a server on a free port; the block gets its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [part.replace("PORT", str(port)) for part in command]
    server = subprocess.Popen([sys.executable, "-m", *arguments], env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 60
        while True:
            try:
                httpx.get(address, timeout=10)
                break
            except httpx.TransportError:
                assert server.poll() is None, server.communicate()[0].decode()
                assert time.monotonic() < end
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.communicate(timeout=30)


GUNICORN = ("gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:PORT", "--log-level", "warning", "web:wsgi")
UVICORN = ("uvicorn", "--workers", "2", "--port", "PORT", "--log-level", "warning", "web:asgi")


def test_gunicorn_forks_an_application_that_it_loaded_before(database: Database) -> None:
    assert_both_workers_answer(database, GUNICORN)


def test_uvicorn_starts_several_workers(postgres_databases: PostgresDatabases) -> None:
    database = postgres_databases.create()
    assert_both_workers_answer(database, UVICORN)
    postgres_databases.drop(database)


def assert_both_workers_answer(database: Database, server: tuple[str, ...]) -> None:
    """Send requests to a server with two workers: both answer, and nothing is lost."""
    crm = CRM(database.url)
    crm.migrate()
    with served(*server, APP_DATABASE=database.url, APP_WARM="1") as address, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: httpx.post(address, timeout=60), range(24)))
        counted = [httpx.get(address, timeout=60).text.split()[1] for _ in range(4)]
    assert [a.status_code for a in answers] == [200] * 24
    assert len({a.text.split()[0] for a in answers}) == 2
    assert counted == ["24"] * 4
    with crm.session(WHO, write=False) as s:
        assert s.query(Account).count() == 24
    crm.close()


def test_32_threads_read_and_write_and_nothing_is_half_lost_or_doubled(make_crm: Any) -> None:
    crm: CRM = make_crm()
    rounds = int(os.environ.get("CRM_TEST_THREAD_ROUNDS", "4"))
    with crm.session(WHO) as s:
        shared = s.create(Account(name="shared", industry="0")).id
    torn: list[str] = []
    begun = threading.Barrier(THREADS)

    def raised(s: Session) -> None:
        now = s.get(Account, shared)
        s.update(Account, shared, {"industry": str(int(now.industry or 0) + 1)}, version=now.version)

    def raise_it() -> None:
        while True:
            try:
                crm.transact(WHO, raised)
                return
            except Conflict:  # somebody was faster: look again
                continue

    def work(number: int) -> int:
        random, added = Random(number), 0
        begun.wait(60)
        for turn in range(rounds):
            with crm.session(WHO) as s:  # a pair, in one transaction
                account = s.create(Account(name=f"{number}/{turn}"))
                s.create(Contact(name=account.name, account=account.ref))
            if random.random() < 0.3:
                raise_it()
                added += 1
            with crm.session(WHO, write=False) as s:
                companies = s.query(Account).where(Account.name.startswith(f"{random.randrange(THREADS)}/")).all()
                people = {p.account.id for p in s.query(Contact).where(Contact.account.in_([c.ref for c in companies])).all() if p.account}
                torn.extend(c.id for c in companies if c.id not in people)
        return added

    with ThreadPoolExecutor(THREADS) as pool:
        raises = sum(pool.map(work, range(THREADS)))
    with crm.session(WHO, write=False) as s:
        names = [a.name for a in s.query(Account).all()]
        last = s.get(Account, shared)
    journal = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        versions = [row.version for row in connection.execute(journal.select().where(journal.c.record == shared).order_by(journal.c.id))]
    print(
        f"{crm.bound.kind}: {THREADS} threads, {rounds} rounds, {len(names)} accounts, {raises} conflicting updates, seeds 0-{THREADS - 1}"
    )
    assert torn == []
    assert Counter(names) == Counter(["shared", *(f"{n}/{t}" for n in range(THREADS) for t in range(rounds))])
    assert (last.industry, last.version) == (str(raises), raises + 1)
    assert versions == list(range(1, raises + 2))
