"""[C82] A move while others write, one that is killed, and a target that is taken or gone: whole, or refused and begun again."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from crm_core import CRM, Account, CRMError, Note, Unavailable
from crm_core.backup import BackupRefused, move
from crm_core.backup import moving as moving_module
from crm_core.testing.databases import Database, PostgresDatabases, SQLiteDatabases
from tests.backup.world import counts, journal, lab, plain, raw, system

ROOT = Path(__file__).resolve().parents[2]
Place = Callable[[], CRM]

# Moves, and dies with the process's power when a named step begins.
DYING = """
import os, signal, sys
from crm_core import CRM
from crm_core.backup import move
from tests.backup.world import lab
import crm_core.backup.moving as moving, crm_core.backup.restoring as restoring, crm_core.storage.backup.loading as loading
step, here, there = sys.argv[1:]
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
def second(work):
    def call(*a, **k):
        seen.append(1)
        return die() if len(seen) > 1 else work(*a, **k)
    seen = []
    return call
match step:
    case "the tables are made": restoring.load = die
    case "a table is filled": loading._to_sqlite, loading._to_postgresql = second(loading._to_sqlite), second(loading._to_postgresql)
    case "all is filled": restoring.fence = die
    case "it is proved": moving.check_keys = die
    case "it is told there": moving._keep_writers_out = die
    case "it is told here": moving.note = second(moving.note)
source, target = CRM(here, plugins=[lab]), CRM(there, plugins=[lab])
move(source, target)
"""
STEPS = ["the tables are made", "a table is filled", "all is filled", "it is proved", "it is told there", "it is told here"]

# Writes until nobody reads any more what it has written.
WRITING = """
import sys
from crm_core import CRM, Account
from tests.backup.world import lab, system
crm = CRM(sys.argv[1], plugins=[lab])
n = 0
while True:
    with crm.session(system()) as s:
        s.create(Account(name=f"w{n}"))
    n += 1
    print(n, flush=True)
"""


@pytest.fixture
def place(databases: Any, sqlite_databases: SQLiteDatabases, postgres_databases: PostgresDatabases) -> Iterator[Place]:
    """Make CRMs on empty databases of the other kind than the source's."""
    others: Any = postgres_databases if databases is sqlite_databases else sqlite_databases
    made: list[tuple[CRM, Database]] = []

    def make() -> CRM:
        database = others.create()
        made.append((CRM(database.url, plugins=[lab]), database))
        return made[-1][0]

    yield make
    for crm, database in made:
        crm.close()
        others.drop(database)


def is_untouched(crm: CRM) -> bool:
    return not any(counts(crm).values())


def test_c82_who_writes_while_a_company_is_moved_has_nothing_lost(crm: CRM, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written between the snapshot and the commit was in the old database alone, and the move said that all was there."""
    there = place()
    for entity in (Account(name="late"), Note(body="late")):
        written = threading.Event()

        def writes(target: CRM, connection: Any, entity: Any = entity, written: threading.Event = written) -> None:
            with closing(CRM(crm.url, plugins=[lab])) as other, other.session(system()) as s:
                s.create(entity)
            written.set()

        with monkeypatch.context() as m:
            m.setattr(moving_module, "check_keys", writes)
            with pytest.raises(BackupRefused) as error:
                move(crm, there)
        assert error.value.code == "backup_written"
        assert written.is_set()
        assert is_untouched(there)
    kept = plain(crm)
    move(crm, there)
    assert plain(there) == kept == plain(crm)


def test_c82_under_writers_of_other_processes_a_move_is_refused_until_they_are_stopped(crm: CRM, place: Place) -> None:
    there = place()
    command = [sys.executable, "-W", "ignore", "-c", WRITING, crm.url]
    writers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        for _ in range(3):
            with pytest.raises(BackupRefused) as error:
                move(crm, there)
            assert error.value.code == "backup_written"
            assert is_untouched(there)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    move(crm, there)
    assert plain(there) == plain(crm)


@pytest.mark.parametrize("step", STEPS)
def test_c82_a_move_that_is_killed_is_begun_again(crm: CRM, place: Place, step: str) -> None:
    there, kept = place(), plain(crm)
    before = raw(crm)
    died = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DYING, step, crm.url, there.url], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (died.returncode, "Error" in died.stderr) == (-9, False)
    assert raw(crm) == before
    if step == "it is told here":
        with pytest.raises(BackupRefused) as error:
            move(crm, there)
        assert error.value.code == "backup_not_empty"
    else:
        assert is_untouched(there)
        move(crm, there)
    assert plain(there) == kept


def test_c82_two_moves_into_one_database_do_not_mix(crm: CRM, place: Place) -> None:
    there, kept = place(), plain(crm)
    ends: list[Any] = []
    begin = threading.Barrier(2)

    def moves() -> None:
        with closing(CRM(crm.url, plugins=[lab])) as source, closing(CRM(there.url, plugins=[lab])) as target:
            begin.wait()
            try:
                ends.append(move(source, target))
            except BaseException as error:
                ends.append(error)

    threads = [threading.Thread(target=moves) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [end for end in ends if isinstance(end, BaseException)]
    assert [type(end) for end in refused if not isinstance(end, BackupRefused | Unavailable)] == [], ends
    assert len(refused) == 1
    assert plain(there) == kept


def test_c82_what_is_written_in_the_target_meanwhile_is_not_mixed_in(crm: CRM, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    there = place()
    there.migrate()
    kept, tried = plain(crm), list[Any]()
    work: Any = getattr(moving_module, "bring")  # noqa: B009  # it is imported there, not exported

    def writes_there() -> None:
        try:
            with closing(CRM(there.url, plugins=[lab])) as other, other.session(system()) as s:
                s.create(Account(name="intruder"))
            tried.append("written")
        except CRMError as error:
            tried.append(error)

    writer = threading.Thread(target=writes_there)

    def brings(*a: Any, **k: Any) -> Any:
        done = work(*a, **k)
        writer.start()
        writer.join(1.0)
        return done

    monkeypatch.setattr(moving_module, "bring", brings)
    move(crm, there)
    writer.join()
    assert tried == ["written"], "behind what was moved, as after the move"
    assert {name: [r for r in rows if r.get("name") != "intruder"] for name, rows in plain(there).items()} == kept
    assert [entry[0] for entry in journal(there)] == list(range(1, len(journal(there)) + 1))


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("limit", [0, 1])
def test_c82_a_target_without_connections_refuses_or_is_whole(crm: CRM, place: Place, limit: int) -> None:
    there = place()
    there.close()
    url = there.bound.engine.url
    admin = create_engine(url)
    name = f"few_{limit}_{url.database}"
    with admin.begin() as c:
        c.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x' CONNECTION LIMIT {limit}"))
        c.execute(text(f"GRANT ALL ON SCHEMA public TO {name}"))
    try:
        with closing(CRM(url.set(username=name, password="x").render_as_string(hide_password=False), plugins=[lab])) as few:
            if limit:
                move(crm, few)
                assert plain(few) == plain(crm)
            else:
                with pytest.raises(Unavailable):
                    move(crm, few)
    finally:
        with admin.begin() as c:
            c.execute(text(f"DROP OWNED BY {name}"))
            c.execute(text(f"DROP ROLE {name}"))
        admin.dispose()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("step", ["check_keys", "note", "_keep_writers_out"])
def test_c82_a_target_that_is_cut_off_takes_nothing(crm: CRM, place: Place, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there, before = place(), raw(crm)
    admin = create_engine(there.bound.engine.url)
    work = getattr(moving_module, step)

    def cut(*a: Any, **k: Any) -> Any:
        with admin.begin() as c:
            c.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        return work(*a, **k)

    with monkeypatch.context() as m:
        m.setattr(moving_module, step, cut)
        with pytest.raises(CRMError) as error:
            move(crm, there)
    assert error.value.code == ("commit_outcome_unknown" if step == "_keep_writers_out" else "connection_lost")
    admin.dispose()
    assert is_untouched(there)
    assert raw(crm) == before
    move(crm, there)
    assert plain(there) == plain(crm)
