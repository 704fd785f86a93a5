"""R14, B14: who writes the WAL and who writes it back, never two at once in a process; and one fsync a commit."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_core import CRM, Account
from crm_core.storage import sqlite
from tests.faults import dbapi
from tests.faults.conftest import NewFile
from tests.faults.disk import Disk
from tests.faults.ledger import SYSTEM, found, write_pair
from tests.figures import LONG, figure
from tests.threads import at_once

LIBRARY = f"sqlite {dbapi.sqlite_version} (apsw)"
WRITERS = 6


def checkpoint_often(crm: CRM) -> None:
    """Let the WAL be written back, and reset, after every commit or two."""
    sa.event.listen(crm.bound.engine.pool, "connect", lambda c, _: sqlite.run(c, "PRAGMA wal_autocheckpoint = 10"))


def write_in_threads(crm: CRM, times: int) -> list[str]:
    """Write pairs from several threads, with readers between; return the names."""
    names: list[str] = []

    def work(thread: int) -> None:
        for n in range(times):
            with crm.session(SYSTEM) as s:
                write_pair(s, f"{thread}-{n}")
            names.append(f"{thread}-{n}")
            with crm.session(SYSTEM, write=False) as s:
                s.query(Account).count()
            crm.bound.engine.dispose()

    at_once(work, range(WRITERS))
    return names


def test_a_commit_is_one_fsync(new_file: NewFile) -> None:
    disk = Disk("syncs")
    crm = CRM(disk.url(new_file()))
    with crm.session(SYSTEM) as s:
        write_pair(s, "first")
    synced: Counter[str] = Counter()

    def watch(what: str, path: str) -> None:
        if what == "sync":
            synced["wal" if path.endswith("-wal") else "file"] += 1

    disk.watch = watch
    commits = 100
    for n in range(commits):
        with crm.session(SYSTEM) as s:
            write_pair(s, f"n{n}")
    disk.watch = None
    crm.close()
    assert commits <= synced["wal"] <= commits + 2 * synced["file"], "a checkpoint syncs the WAL, then the file, then a new WAL's head"
    result = f"{synced['wal'] / commits:.2f} fsyncs of the WAL a commit, {synced['file']} of the file"
    figure("B14 fsyncs", database=LIBRARY, cases=commits, rows=2 * commits, result=result, bar="1 fsync per durable commit")


def test_only_the_writer_whose_turn_it_is_touches_the_wal(new_file: NewFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug needs two connections of which one resets the WAL; in a process the queue is held until the checkpoint is over, too."""
    holder: list[int] = []
    plain: Callable[..., object] = sqlite.WriteQueue.turn

    @contextmanager
    def turn(self: sqlite.WriteQueue, *, asynchronous: bool) -> Iterator[None]:
        with plain(self, asynchronous=asynchronous):  # type: ignore[attr-defined]  # a context manager
            holder.append(threading.get_ident())
            yield
            holder.clear()

    monkeypatch.setattr(sqlite.WriteQueue, "turn", turn)
    outside: list[str] = []
    touched: Counter[str] = Counter()

    def watch(what: str, path: str) -> None:
        if what in ("write", "truncate"):
            touched["wal" if path.endswith("-wal") else "file"] += 1
            if holder != [threading.get_ident()]:
                outside.append(f"{what} {path}")

    disk = Disk("turns")
    crm = CRM(disk.url(new_file()))
    checkpoint_often(crm)
    with crm.bound.engine.connect():  # so that no connection is ever the last, which writes back when it closes
        disk.watch = watch
        names = write_in_threads(crm, 50 if LONG else 6)
        disk.watch = None
    found(crm).check(names)
    crm.close()
    assert touched["file"] > len(names), "there were many checkpoints"
    result = f"{len(outside)} of {touched.total()} writes of the WAL and the file were outside the queue"
    figure("R14 mitigation", database=LIBRARY, cases=len(names), rows=2 * len(names), result=result, bar="0 outside", met=not outside)
    assert outside == []


def test_a_process_of_many_writers_loses_nothing_on_the_affected_library(tmp_path: Path) -> None:
    """On the standard library's SQLite, whichever it is: checkpoints at every commit, connections that come and go."""
    crm = CRM(f"sqlite:///{tmp_path}/shop.db")
    crm.migrate()
    checkpoint_often(crm)
    names = write_in_threads(crm, 400 if LONG else 12)
    left = found(crm)
    left.check(names)
    crm.close()
    affected = "affected" if sqlite.affected_by_wal_reset(sqlite3.sqlite_version_info) else "not affected"
    database = f"sqlite {sqlite3.sqlite_version} ({affected})"
    figure("R14 commits", database=database, cases=WRITERS, rows=left.rows, result="0 lost, 0 damaged", bar="0 lost, 0 damaged")
