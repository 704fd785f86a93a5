"""R2: the power is cut anywhere, checkpoints and migrations included; what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_core import CRM
from crm_core.errors import CRMError, SchemaBehind
from crm_core.storage import sqlite, wal
from tests.events.boxes import Box
from tests.events.world import box_plugin
from tests.faults import dbapi
from tests.faults.conftest import NewFile
from tests.faults.disk import Disk
from tests.faults.ledger import SYSTEM, found, write_pair
from tests.figures import LONG, figure
from tests.threads import at_once

CUTS = 500 if LONG else 20
SEED = 20264
LIBRARY = f"sqlite {dbapi.sqlite_version} (apsw)"


def small_checkpoints(crm: CRM) -> None:
    """Let the WAL be written back after every few commits, so that many cuts fall there."""
    sa.event.listen(crm.bound.engine.pool, "connect", lambda c, _: sqlite.run(c, "PRAGMA wal_autocheckpoint = 40"))


class Cut:
    """Cuts the power at the *at*-th change of a file, and leaves what is left at *path*."""

    def __init__(self, name: str, path: Path, at: int, chance: random.Random) -> None:
        self.disk = Disk(name, self)
        self._path, self._left, self._chance = path, at, chance

    def __call__(self, what: str, _: str) -> None:
        if what in ("write", "sync", "truncate", "delete"):
            self._left -= 1
            if self._left == 0:
                self.disk.cut(self._path, self._chance)


def write_until_it_is_dark(path: Path, cut: Cut, seed: int) -> list[str]:
    """Write from four threads, which share fsyncs, until the power is off; return what was acknowledged."""
    crm = CRM(cut.disk.url(path))
    small_checkpoints(crm)
    acknowledged: list[str] = []

    def work(thread: int) -> None:
        for n in range(10_000):
            name = f"{seed}-{thread}-{n}"
            try:
                with crm.session(SYSTEM) as s:
                    write_pair(s, name)
            except CRMError:
                return
            acknowledged.append(name)

    at_once(work, range(4))
    crm.close()
    return acknowledged


def lost_after(cut_number: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Cut once while threads write; return how many were acknowledged, and how many of them are gone."""
    chance = random.Random(SEED + cut_number)
    after = path.with_name(f"after-{path.name}")
    cut = Cut(f"cut{cut_number}", after, chance.randrange(1, 1500), chance)
    monkeypatch.setattr(wal, "sync_file", cut.disk.sync)
    acknowledged = write_until_it_is_dark(path, cut, cut_number)
    crm = CRM(f"sqlite+apsw:///{after}")
    left = found(crm)
    gone = set(acknowledged) - set(left.names)
    left.check(set(acknowledged) - gone)
    with crm.session(SYSTEM) as s:
        write_pair(s, "again")
    crm.close()
    return len(acknowledged), len(gone)


def test_no_power_cut_loses_what_was_acknowledged(new_file: NewFile, monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[int] = []
    plain = wal.WalSync.wait

    def wait(sync: wal.WalSync) -> None:
        plain(sync)
        shared.append(1)

    monkeypatch.setattr(wal.WalSync, "wait", wait)
    results = [lost_after(n, new_file(), monkeypatch) for n in range(CUTS)]
    acknowledged, lost = (sum(column) for column in zip(*results, strict=True))
    bar = "0 acknowledged commits lost, 0 files damaged"
    result = f"{lost} of {acknowledged} lost, {len(shared)} of them under a shared fsync"
    figure("R2 power cuts", database=LIBRARY, cases=CUTS, rows=acknowledged * 2, seed=SEED, result=result, bar=bar, met=not lost)
    assert lost == 0
    assert acknowledged > CUTS
    assert len(shared) > CUTS, "many of the commits must have shared an fsync"


def test_the_simulated_power_cut_would_find_a_weaker_setting(new_file: NewFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with ``synchronous=NORMAL`` the same cuts lose commits, and damage nothing."""
    monkeypatch.setitem(sqlite._SETTINGS, "synchronous", 1)
    monkeypatch.setattr(wal.WalSync, "wait", lambda sync: None)
    cases = CUTS // 2
    acknowledged, lost = (sum(column) for column in zip(*(lost_after(n, new_file(), monkeypatch) for n in range(cases)), strict=True))
    bar = "some lost: the simulation is no dummy"
    result = f"{lost} of {acknowledged} lost"
    figure("R2 control: synchronous=NORMAL", database=LIBRARY, cases=cases, rows=acknowledged * 2, seed=SEED, result=result, bar=bar)
    assert lost > 0


def test_a_migration_that_a_power_cut_ends_is_done_or_not_begun(new_file: NewFile) -> None:
    cases = CUTS // 4
    done = 0
    for n in range(cases):
        chance = random.Random(SEED + n)
        path = new_file()
        before = CRM(f"sqlite+apsw:///{path}")
        with before.session(SYSTEM) as s:
            write_pair(s, "before")
        before.close()
        after = path.with_name(f"after-{path.name}")
        cut = Cut(f"migration{n}", after, chance.randrange(1, 80), chance)
        crm = CRM(cut.disk.url(path), plugins=[box_plugin()])
        try:
            crm.migrate()
        except CRMError:
            pass
        else:
            cut.disk.cut(after, chance)
            done += 1
        crm.close()
        crm = CRM(f"sqlite+apsw:///{after}", plugins=[box_plugin()])
        try:
            crm.migrations.check()
        except SchemaBehind:
            crm.migrate()
        found(crm).check(["before"])
        with crm.session(SYSTEM) as s:
            s.create(Box(name="after"))
        crm.close()
    result = f"0 half done; {done} were finished before the cut"
    figure("R2 migrations", database=LIBRARY, cases=cases, seed=SEED, result=result, bar="each is done or not begun")
    assert done < cases
