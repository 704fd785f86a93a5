"""B14: writers of one file that wait for each other share an fsync, and are told of theirs when it is done."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.errors import CommitOutcomeUnknown
from crm_core.storage import sqlite, wal
from crm_core.storage.engine import Bound, open_engine
from tests.figures import LONG, figure
from tests.storage.counter import add_one, count, create_counter
from tests.threads import at_once


@pytest.fixture
def bound(sqlite_file: Path) -> Iterator[Bound]:
    opened = open_engine(f"sqlite:///{sqlite_file}")
    create_counter(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The fsyncs of our own, each slow enough for others to wait."""
    made: list[Path] = []
    plain = wal.sync_file

    def slow(path: Path) -> None:
        made.append(path)
        time.sleep(0.005)
        plain(path)

    monkeypatch.setattr(wal, "sync_file", slow)
    return made


def write(bound: Bound, writers: int, times: int) -> list[BaseException]:
    """Add one from several threads; return what went wrong."""
    errors: list[BaseException] = []

    def work(_: int) -> None:
        for _ in range(times):
            try:
                with bound.begin() as connection:
                    add_one(connection)
            except BaseException as e:
                errors.append(e)

    at_once(work, range(writers))
    return errors


def test_many_writers_share_an_fsync(bound: Bound, syncs: list[Path], sqlite_file: Path) -> None:
    assert write(bound, 12, 20) == []
    assert count(bound) == 240
    assert 0 < len(syncs) < 120
    assert set(syncs) == {sqlite_file.with_name(f"{sqlite_file.name}-wal")}
    with bound.begin(write=False) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_writer_alone_shares_nothing(bound: Bound, syncs: list[Path]) -> None:
    assert write(bound, 1, 20) == []
    assert syncs == []


def test_a_file_without_a_wal_is_synced_by_sqlite(bound: Bound, syncs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """There NORMAL would not be enough, and there is no WAL to sync."""
    bound.engine.dispose()
    monkeypatch.setattr(sqlite, "prefer_wal", lambda dbapi: sqlite.run(dbapi, "PRAGMA journal_mode = DELETE"))
    assert write(bound, 4, 5) == []
    assert syncs == []
    assert count(bound) == 20


def test_an_fsync_that_fails_leaves_the_outcome_unknown_and_is_not_asked_again(
    bound: Bound, syncs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        time.sleep(0.02)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(wal, "sync_file", fail)
    errors = write(bound, 8, 20)
    assert errors
    assert {type(e) for e in errors} == {CommitOutcomeUnknown}
    assert count(bound) == 160, "what SQLite has committed is there as long as the power is"
    monkeypatch.undo()
    assert write(bound, 8, 3) == []
    assert syncs == [], "from then on each commit has SQLite's own fsync"


def test_nobody_is_told_before_an_fsync_that_began_after_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An fsync under way may have looked at the file before the commit was in it."""
    began: list[float] = []
    entered, go = threading.Event(), threading.Event()

    def slow(path: Path) -> None:
        began.append(time.monotonic())
        entered.set()
        assert go.wait(10)

    monkeypatch.setattr(wal, "sync_file", slow)
    sync = wal.WalSync(tmp_path / "shop.db-wal")
    told: list[int] = []

    def commit(number: int) -> None:
        sync.wait()
        told.append(number)

    first = threading.Thread(target=commit, args=(1,))
    first.start()
    assert entered.wait(10)
    later = [threading.Thread(target=commit, args=(2,)) for _ in range(3)]
    for thread in later:
        thread.start()
    time.sleep(0.05)
    assert (told, len(began)) == ([], 1)
    go.set()
    for thread in [first, *later]:
        thread.join()
    assert sorted(told) == [1, 2, 2, 2]
    assert len(began) == 2, "one for the first, and one for all who came while it ran"


def test_what_sharing_brings(sqlite_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B14: commits a second with and without it, on this disk."""
    writers, times = (32, 100) if LONG else (12, 25)
    rates: dict[bool, float] = {}
    syncs: list[Path] = []
    plain = wal.sync_file

    def counted(path: Path) -> None:
        syncs.append(path)
        plain(path)

    monkeypatch.setattr(wal, "sync_file", counted)
    for shared in (False, True):
        bound = open_engine(f"sqlite:///{sqlite_file.with_name(f'{shared}.db')}")
        create_counter(bound)
        with monkeypatch.context() as patch:
            if not shared:
                patch.setattr(sqlite.WriteQueue, "shared_sync", None)
            start = time.perf_counter()
            assert write(bound, writers, times) == []
            rates[shared] = writers * times / (time.perf_counter() - start)
        bound.dispose()
    gain, share = rates[True] / rates[False], len(syncs) / (writers * times)
    result = f"{rates[True]:.0f} commits/s shared, {rates[False]:.0f} alone ({gain:.1f}x); {share:.2f} shared fsyncs a commit"
    name = f"sqlite {sqlite3.sqlite_version}"
    bar = ">= 2x ungrouped, < 0.1 fsyncs a record under 10+ writers"
    figure("B14 shared fsync", database=name, cases=writers, rows=writers * times, result=result, bar=bar, met=gain >= 2 and share < 0.1)
    assert share < 0.7
