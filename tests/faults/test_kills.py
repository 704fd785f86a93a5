"""R1: processes are killed with ``kill -9`` wherever they are; what was acknowledged is there, and rows and journal are equal."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg

from crm_core import CRM, CommitOutcomeUnknown, Unavailable
from crm_core.testing.databases import PostgresDatabases
from tests.children import start
from tests.faults.ledger import SYSTEM, found, write_pair
from tests.faults.processes import write_for_ever
from tests.figures import LONG, figure

SEED = 20265
BAR = "0 acknowledged lost; rows == journal"


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Two processes write one file, and one of them, or both, are killed."""
    rounds = 500 if LONG else 15
    url = f"sqlite:///{tmp_path}/shop.db"
    crm = CRM(url)
    crm.migrate()
    chance = random.Random(SEED)
    acknowledged: list[str] = []
    kills = 0
    for turn in range(rounds // 2 + 1):
        children = [start(write_for_ever, url, f"{turn}-{n}") for n in range(2)]
        for child in children:
            acknowledged.append(child.told.recv())
        time.sleep(chance.uniform(0, 0.15))
        for child in children:
            acknowledged += child.kill()
            kills += 1
            time.sleep(chance.choice([0, 0.02]))
        if turn % 25 == 0:
            found(crm).check(acknowledged)
    left = found(crm)
    left.check(acknowledged)
    assert kills >= rounds
    unheard = len(left.names) - len(acknowledged)
    result = f"0 of {len(acknowledged)} lost; {unheard} were committed and not heard of"
    figure("R1 kill -9", database=f"sqlite {sqlite3.sqlite_version}", cases=kills, rows=left.rows, seed=SEED, result=result, bar=BAR)
    crm.close()


def kill_a_backend(directory: Path, name: str, chance: random.Random) -> bool:
    """Kill one of the server's processes that serve a database; the server then ends them all, and recovers."""
    try:
        with psycopg.connect(host=str(directory), user="postgres", dbname="postgres", autocommit=True) as admin:
            asked = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
            pids = [pid for (pid,) in admin.execute(asked, [name])]
            if not pids:
                return False
            os.kill(chance.choice(pids), signal.SIGKILL)
    except psycopg.OperationalError:
        return False
    return True


def test_killed_backends_lose_nothing_and_a_key_is_done_once(own_server: PostgresDatabases) -> None:
    """R1, R5: six writers use a key for each pair and try again, in doubt or not, until it is acknowledged."""
    kills, writers = (100 if LONG else 3), 6
    database = own_server.create()
    crm = CRM(database.url)
    crm.migrate()
    acknowledged: list[str] = []
    doubts: list[str] = []
    wrong: list[BaseException] = []
    over = threading.Event()

    def write(writer: int) -> None:
        n = 0
        while not over.is_set() and not wrong:
            name = f"{writer}-{n}"
            try:
                crm.transact(SYSTEM, partial(write_pair, name=name), idempotency_key=name, retries=0)
            except CommitOutcomeUnknown:
                doubts.append(name)
            except Unavailable:
                time.sleep(0.02)
            except BaseException as e:
                wrong.append(e)
            else:
                acknowledged.append(name)
                n += 1

    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    chance, done = random.Random(SEED), 0
    name = str(crm.bound.url.database)
    while done < kills and not wrong:
        time.sleep(chance.uniform(0.2, 0.5))
        before = len(acknowledged)
        done += kill_a_backend(Path(str(crm.bound.url.query["host"])), name, chance)
        deadline = time.monotonic() + 60
        while len(acknowledged) == before and not wrong and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(acknowledged) > before or wrong, "the writers go on after each crash"
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    while True:
        with suppress(Unavailable):
            left = found(crm)
            break
    left.check(acknowledged)
    result = f"0 of {len(acknowledged)} lost; {len(doubts)} commits in doubt, each key done once"
    figure("R1 backends killed", database="postgresql 18", cases=done, rows=left.rows, seed=SEED, result=result, bar=BAR)
    crm.close()
    own_server.drop(database)
