"""R3: the disk fails at its n-th operation, or is full from there on: a typed error, all or nothing, and on with the same CRM."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw
import attrs
import pytest

from crm_core.errors import Refused, Unavailable
from crm_core.hooks.plugin import Plugin
from crm_core.testing.databases import Database
from tests.events.boxes import Box
from tests.events.world import ADMIN, World, box_plugin, recorder, world
from tests.faults import dbapi
from tests.faults.disk import Disk, broken
from tests.figures import LONG, figure

LIBRARY = f"sqlite {dbapi.sqlite_version} (apsw)"
STRIDE = 1 if LONG else 23


@attrs.define
class Failing:
    """Fails the *at*-th operation of some kinds, and the later ones too until it is healed, if told so."""

    kinds: frozenset[str]
    at: int
    code: int
    lasting: bool
    seen: int = 0
    failed: int = 0

    def __call__(self, what: str, _: str) -> None:
        if what not in self.kinds:
            return
        self.seen += 1
        if self.seen == self.at or (self.lasting and self.seen > self.at):
            self.failed += 1
            raise broken(f"{what} {self.seen} fails", self.code)


FAULTS: dict[str, tuple[frozenset[str], int, bool]] = {
    "one operation fails": (frozenset({"open", "read", "write", "sync", "truncate", "size"}), apsw.SQLITE_IOERR, False),
    "all fail from then on": (frozenset({"read", "write", "sync", "truncate"}), apsw.SQLITE_IOERR, True),
    "the disk is full from then on": (frozenset({"write"}), apsw.SQLITE_FULL, True),
}


def made_plugin() -> Plugin:
    """Return boxes and a subscriber that leaves an effect for each change."""
    plugin = box_plugin()
    recorder(plugin)
    return plugin


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables and a box, delivered."""
    path = tmp_path_factory.mktemp("prepared") / "shop.db"
    made = world(Database("sqlite", f"sqlite+apsw:///{path}"), made_plugin())
    made.boxes(["first"])
    assert made.crm.run_pending() == 1
    made.crm.close()
    return path


def steps(w: World, name: str) -> list[str]:
    """Create a box, change it, deliver; return the codes of what was refused."""
    refused: list[str] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except Unavailable as e:
            refused.append(e.code)

    def write() -> None:
        with w.crm.session(ADMIN) as s:
            box = s.create(Box(name=name))
            s.update(Box, box.id, {"size": 1})

    attempt(write)
    attempt(w.crm.run_pending)
    return refused


def checked(w: World, name: str, refused: list[str]) -> None:
    """See that the box is there as a whole or not at all, and that each of its events has its effect once, in order."""
    with w.crm.session(ADMIN, write=False) as s:
        boxes = s.query(Box).where(Box.name == name).all()
    assert len(boxes) == 1 or (not boxes and refused), "it was acknowledged"
    for box in boxes:
        assert (box.size, box.version) == (1, 2)
        assert [e.what for e in w.effects(box)] == ["created", "updated"]


def run_case(prepared: Path, path: Path, fault: str, at: int) -> tuple[int, int]:
    """Run the steps with one fault; return how many operations there were, and how many failed."""
    kinds, code, lasting = FAULTS[fault]
    shutil.copyfile(prepared, path)
    failing = Failing(kinds, at, code, lasting)
    disk = Disk(f"failing-{path.stem}")
    w = world(Database("sqlite", disk.url(path)), made_plugin(), seed=path.stem)
    with w.crm.bound.begin() as connection:
        connection.exec_driver_sql("PRAGMA cache_size = 5")  # so that it has to be read again
    disk.watch = failing
    refused = steps(w, "faulty")
    disk.watch = None
    w.later(days=1)
    w.crm.run_pending()
    checked(w, "faulty", refused)
    assert set(refused) <= {"disk_failed", "disk_full", "cannot_open"}
    assert steps(w, "later") == [], "it goes on without a restart"
    checked(w, "later", [])
    with w.crm.bound.begin(write=False) as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    w.crm.close()
    disk.unregister()
    return failing.seen, failing.failed


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_at_its_nth_operation(prepared: Path, tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    whole, _ = run_case(prepared, tmp_path / "whole.db", fault, 10**9)
    points = range(1, whole + 1, STRIDE)
    hit = [run_case(prepared, tmp_path / f"n{at}.db", fault, at)[1] > 0 for at in points]
    assert all(hit[: len(hit) // 2]), "the fault must come where it was told to"
    bar = "typed error, all or nothing, goes on without restart"
    result = f"held at {len(hit)} of {whole} operations, {sum(hit)} of them failed"
    figure(f"R3 {fault}", database=LIBRARY, cases=len(hit), rows=2, result=result, bar=bar)


def test_a_session_that_goes_on_after_the_disk_failed_commits_nothing(prepared: Path, tmp_path: Path) -> None:
    """SQLite ends the whole transaction where its disk fails; what a caller writes after that must not become final alone."""
    refused = 0
    for at in range(1, 400, STRIDE):
        path = tmp_path / f"on{at}.db"
        shutil.copyfile(prepared, path)
        disk = Disk(f"on-{at}")
        w = world(Database("sqlite", disk.url(path)), made_plugin(), seed=f"on {at}")
        with w.crm.bound.begin() as connection:
            connection.exec_driver_sql("PRAGMA cache_size = 1")
        failing = disk.watch = Failing(frozenset({"read", "write"}), at, apsw.SQLITE_IOERR, False)
        names = {"first"}
        try:
            with w.crm.session(ADMIN) as s:
                for n in range(4):
                    with suppress(Unavailable):
                        s.create_many([Box(name=f"{n}-{m}") for m in range(60)])
                        names |= {f"{n}-{m}" for m in range(60)}
        except (Unavailable, Refused):
            names = {"first"}
            refused += 1
        disk.watch = None
        with w.crm.session(ADMIN, write=False) as s:
            assert {b.name for b in s.query(Box).all()} == names
        w.crm.close()
        disk.unregister()
        if not failing.failed:
            break
    assert refused > 1
    figure("R3 sessions that go on", database=LIBRARY, cases=at, result=f"{refused} refused, 0 half done", bar="0 half done")
