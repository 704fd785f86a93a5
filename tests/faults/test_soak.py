"""R15: mixed work for a while, with faults in between: nothing is lost, and memory, connections and threads stay as they were."""

from __future__ import annotations

import gc
import logging
import os
import random
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from crm_core import CRM, CommitOutcomeUnknown, CRMError
from tests.conftest import MakeCRM
from tests.events.boxes import Box, Effect
from tests.events.world import ADMIN, box_plugin, recorder
from tests.figures import LONG, figure

SEED = 20270
SECONDS = 900 if LONG else 60
"""Two minutes in all, half an hour in the long form: the two databases take as long each."""
WRITERS = 3


def resident() -> float:
    """Return this process's memory in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def cut_a_connection(crm: CRM) -> None:
    """End a connection of this database, as an administrator or a restart does."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with suppress(DBAPIError), crm.bound.engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) {others} ORDER BY random() LIMIT 1")


def hold_the_file(crm: CRM) -> None:
    """Keep the file from being written for a moment, as another process does."""
    raw = sqlite3.connect(str(crm.bound.engine.url.database), isolation_level=None, timeout=10)
    raw.execute("BEGIN IMMEDIATE")
    time.sleep(0.1)
    raw.execute("ROLLBACK")
    raw.close()


class Load:
    """People who write, read and fail, each in a thread.

    Attributes:
        wrong: what was raised and should not have been; a database that is away for a moment may say so.
        sizes: what each box must have in the end.
    """

    def __init__(self, crm: CRM) -> None:
        self.crm = crm
        self.over = threading.Event()
        self.wrong: list[BaseException] = []
        self.sizes: dict[str, int] = {}
        self.boxes: dict[int, list[str]] = {}
        self.doubts = 0
        self.done = 0

    def run(self, number: int) -> None:
        chance = random.Random(SEED + number)
        mine = self.boxes.setdefault(number, [])
        while not self.over.is_set():
            try:
                self._step(chance, mine)
                self.done += 1
            except CommitOutcomeUnknown:
                self.doubts += 1
            except CRMError as e:
                if e.status < 500:
                    self.wrong.append(e)
            except ZeroDivisionError:
                pass
            except BaseException as e:
                self.wrong.append(e)

    def _step(self, chance: random.Random, mine: list[str]) -> None:
        match chance.choices(["create", "grow", "read", "fail"], [2, 5, 5, 1])[0]:
            case "create" if len(mine) < 50:
                with self.crm.session(ADMIN) as s:
                    box = s.create(Box(name=chance.choice(["good", "good", "poison"])))
                self.sizes[box.id] = 0
                mine.append(box.id)
            case "grow" if mine:
                self._grow(chance.choice(mine))
            case "fail":
                with self.crm.session(ADMIN) as s:
                    s.create(Box(name="never"))
                    raise ZeroDivisionError
            case _:
                with self.crm.session(ADMIN, write=False) as s:
                    s.query(Box).order_by(Box.id).page(size=20)

    def _grow(self, box: str) -> None:
        """Add one under a key, and learn in the end whether it was done."""
        key = f"{box}-{self.sizes[box] + 1}"

        def work(s: Any) -> None:
            s.update(Box, box, {"size": s.lock(Box, box).size + 1})

        for _ in range(20):
            try:
                self.crm.transact(ADMIN, work, idempotency_key=key)
                self.sizes[box] += 1
                return
            except CommitOutcomeUnknown:
                self.doubts += 1
        raise AssertionError("in doubt twenty times")


def test_a_mixed_load_with_faults_leaves_nothing_behind(make_crm: MakeCRM, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    plugin = box_plugin()
    bad = recorder(plugin)
    crm = make_crm(plugins=[plugin], quarantine_after=None)
    load = Load(crm)
    threads_before = threading.active_count()
    worker = crm.worker()
    worker.start()
    threads = [threading.Thread(target=load.run, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    memory: list[float] = []
    end, faults = time.monotonic() + SECONDS, 0
    while (time.monotonic() < end or len(memory) < 8) and not load.wrong:
        time.sleep(SECONDS / 20)
        memory.append(resident())
        bad ^= {"poison"}
        cut_a_connection(crm) if crm.bound.kind == "postgresql" else hold_the_file(crm)
        faults += 1
    load.over.set()
    for thread in threads:
        thread.join()
    bad.clear()
    settle(crm)
    worker.stop(timeout=30)
    assert load.wrong == []
    assert threading.active_count() == threads_before
    assert crm.bound.engine.pool.checkedout() == 0
    crm.bound.engine.dispose()  # of connections that were cut and that nobody has used since
    check(crm, load)
    half = len(memory) // 2
    growth = sum(memory[half:]) / len(memory[half:]) - sum(memory[2:half]) / len(memory[2:half])
    result = f"{load.done} calls, {faults} faults, {load.doubts} in doubt; 0 lost; memory {growth:+.1f} MB, no connection or thread left"
    bar = "invariants hold; memory, connections and threads flat"
    rows = sum(load.sizes.values())
    figure(
        f"R15 soak {SECONDS:.0f} s", database=crm.bound.kind, cases=faults, rows=rows, seed=SEED, result=result, bar=bar, met=growth < 15
    )
    assert growth < 15


def settle(crm: CRM) -> None:
    """Let everything be delivered, also what waits for its next try."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            crm.run_pending()
            lines = crm.delivery.parked()
            if not lines:
                return
            for line in lines:
                crm.delivery.retry(line.subscription, line.record)
        except CRMError:
            time.sleep(0.1)
    raise AssertionError("something stays parked")


def check(crm: CRM, load: Load) -> None:
    """See that every box has what was added to it, and each of its events its effect once, in order."""
    with crm.session(ADMIN, write=False) as s:
        boxes = s.query(Box).all()
        assert {b.id: b.size for b in boxes if b.id in load.sizes} == load.sizes
        assert all(b.version == b.size + 1 for b in boxes)
        assert not [b for b in boxes if b.name == "never"]
        found: dict[str, list[int | None]] = {}
        for effect in s.query(Effect).order_by(Effect.id).all():
            found.setdefault(effect.box, []).append(effect.size)
    assert found == {b.id: list(range(b.size + 1)) for b in boxes}
    with crm.bound.begin(write=False) as connection:
        if crm.bound.kind == "sqlite":
            assert connection.execute(sa.text("PRAGMA integrity_check")).scalar_one() == "ok"
