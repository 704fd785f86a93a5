"""Processes that die, disks that are full, files that are something else: nothing acknowledged is lost, and each has a name."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.crm import CRM
from crm_core.errors import CommitOutcomeUnknown, LoadError, ReadOnly, Unavailable
from crm_core.storage import sqlite
from crm_core.storage.engine import Bound, open_engine
from crm_core.testing.databases import Database
from tests.storage.counter import add_one, arun, count, create_counter

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bound(database: Database) -> Iterator[Bound]:
    opened = open_engine(database.url)
    create_counter(opened)
    yield opened
    opened.dispose()


# -- durable


LOOP = """
import sys
from crm_core.storage.engine import open_engine
bound = open_engine(sys.argv[1])
n = 0
while True:
    with bound.begin() as connection:
        n = connection.exec_driver_sql("INSERT INTO acked (n) SELECT coalesce(max(n), 0) + 1 FROM acked RETURNING n").scalar_one()
    print(n, flush=True)
"""


def test_a_damaged_file_is_told_by_a_code_and_where_to_look(tmp_path: Path) -> None:
    path = tmp_path / "crm.db"
    crm = CRM(f"sqlite:///{path}")
    crm.migrate()
    crm.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (path.stat().st_size - 100))
    broken = CRM(f"sqlite:///{path}")
    with pytest.raises(Unavailable) as damaged:
        broken.migrations.check()
    assert damaged.value.code == "database_damaged"
    broken.close()


def test_a_killed_process_loses_no_acknowledged_commit(database: Database) -> None:
    bound = open_engine(database.url)
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE acked (n integer PRIMARY KEY)")
    rounds, total = 5, 0
    for turn in range(rounds):
        run = subprocess.Popen([sys.executable, "-c", LOOP, database.url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        seen = [int(run.stdout.readline()) for _ in range(20 + 7 * turn)]
        run.kill()
        seen += [int(line) for line in run.stdout.read().splitlines() if line]
        run.wait()
        run.stdout.close()
        with bound.begin(write=False) as connection:
            kept = connection.exec_driver_sql("SELECT max(n), count(*) FROM acked").one()
        assert kept[0] == kept[1]
        assert kept[0] >= seen[-1]
        total = kept[0]
    print(f"\n{database.kind}: {rounds} kills, {total} commits, none lost")
    bound.dispose()


def test_every_connection_of_ours_is_durable_and_keeps_references(sqlite_file: Path) -> None:
    bound = open_engine(f"sqlite:///{sqlite_file}")
    names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
    with bound.begin(write=False) as one, bound.begin(write=False) as two:
        for connection in (one, two):
            found = [connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in names]
            assert found == ["wal", 2, 1, 0]
    bound.dispose()


def test_a_connection_that_breaks_during_commit_says_that_the_outcome_is_unknown(postgres: Database) -> None:
    bound = open_engine(postgres.url)
    create_counter(bound)
    with bound.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON counter DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"
        )
    with pytest.raises(CommitOutcomeUnknown), bound.begin() as connection:
        add_one(connection)
    assert count(bound) == 0

    async def main() -> None:
        ours = open_engine(postgres.async_url)
        with pytest.raises(CommitOutcomeUnknown):
            await arun(ours, add_one)
        await ours.run(ours.dispose)

    asyncio.run(main())
    assert count(bound) == 0
    bound.dispose()


def test_a_connection_that_breaks_before_commit_can_be_retried(postgres: Database) -> None:
    bound = open_engine(postgres.url)
    with pytest.raises(Unavailable) as error, bound.begin() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    assert (error.value.code, error.value.params["retryable"]) == ("connection_lost", True)
    with bound.begin() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    bound.dispose()


# -- what can be wrong with a database


HOLD = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("BEGIN IMMEDIATE")
print("held", flush=True)
input()
"""


def test_a_file_locked_by_another_process_is_unavailable(sqlite_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 50)
    monkeypatch.setitem(sqlite._SETTINGS, "busy_timeout", 50)
    bound = open_engine(f"sqlite:///{sqlite_file}")
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n integer)")
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(sqlite_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(Unavailable) as error, bound.begin():
        pass
    assert error.value.code == "database_locked"
    with bound.begin(write=False) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0
    other.communicate("\n")
    bound.dispose()


def test_a_file_that_is_not_a_database_is_named_so(sqlite_file: Path) -> None:
    sqlite_file.write_text("Dear diary, " * 1000)
    bound = open_engine(f"sqlite:///{sqlite_file}")
    with pytest.raises(Unavailable) as error, bound.begin():
        pass
    assert error.value.code == "not_a_database"
    assert sqlite_file.read_text().startswith("Dear diary")


def test_a_folder_that_does_not_exist_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as error, open_engine(f"sqlite:///{tmp_path}/none/shop.db").begin():
        pass
    assert error.value.code == "cannot_open"


@pytest.mark.parametrize("how", ["immutable=1", "mode=ro"])
def test_a_read_only_file_refuses_writes_and_can_be_read(tmp_path: Path, how: str) -> None:
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as raw:
        raw.execute("CREATE TABLE t (n integer)")
        raw.execute("INSERT INTO t VALUES (1)")
    raw.close()
    bound = open_engine(f"sqlite:///file:{file}?{how}&uri=true")
    with pytest.raises(ReadOnly) as error, bound.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")
    assert error.value.code == "database_read_only"
    with bound.begin(write=False) as connection:
        assert connection.exec_driver_sql("SELECT n FROM t").scalar() == 1
    bound.dispose()


FULL = """
import resource, signal, sys
from crm_core.errors import CRMError
from crm_core.storage.engine import open_engine
bound = open_engine(sys.argv[1])
with bound.begin() as connection:
    connection.exec_driver_sql("CREATE TABLE t (n integer, filler text)")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
acked = 0
try:
    while True:
        with bound.begin() as connection:
            connection.exec_driver_sql("INSERT INTO t VALUES (1, ?)", ("x" * 2000,))
        acked += 1
except CRMError as e:
    print(type(e).__name__, e.code)
with bound.begin(write=False) as connection:
    print(acked, *[connection.exec_driver_sql(q).scalar() for q in ("SELECT count(*) FROM t", "PRAGMA integrity_check")])
"""


def test_a_full_disk_is_a_typed_error_and_keeps_what_was_acknowledged(sqlite_file: Path) -> None:
    run = subprocess.run([sys.executable, "-c", FULL, f"sqlite:///{sqlite_file}"], cwd=ROOT, capture_output=True, text=True, check=True)
    error, facts = run.stdout.splitlines()
    assert error in ("Unavailable disk_failed", "Unavailable disk_full")
    acked, kept, integrity = facts.split()
    assert (int(acked), integrity) == (int(kept), "ok")
    assert int(acked) > 10


@pytest.mark.parametrize("url", ["", "shop.db", "sqlite://host/shop.db", "mysql://root@localhost/x", "nonsense+x://"])
def test_a_url_that_is_none_of_ours_is_refused(url: str) -> None:
    with pytest.raises(LoadError) as error:
        open_engine(url)
    assert error.value.code in ("bad_database_url", "database_unsupported")


def test_an_affected_sqlite_warns_once_and_is_refused_by_setting(sqlite_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{sqlite_file}"
    affected = sqlite.affected_by_wal_reset(sqlite3.sqlite_version_info)
    open_engine(url)
    assert len([r for r in caplog.records if "3.51.3" in r.getMessage()]) == affected
    CRM("sqlite://", refuse_affected_sqlite=True).close()
    if affected:
        with pytest.raises(LoadError) as error:
            CRM(url, refuse_affected_sqlite=True)
        assert error.value.code == "sqlite_affected"


def test_a_sqlite_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3.dbapi2, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(LoadError) as error:
        open_engine("sqlite://")
    assert (error.value.code, error.value.params["needed"]) == ("database_too_old", "3.35")


@pytest.mark.parametrize("version", [(3, 40, 1), (3, 44, 5), (3, 45, 0), (3, 50, 6), (3, 51, 2)])
def test_a_version_with_the_wal_reset_bug_is_known(version: tuple[int, ...]) -> None:
    assert sqlite.affected_by_wal_reset(version)


@pytest.mark.parametrize("version", [(3, 44, 6), (3, 50, 7), (3, 51, 3), (3, 53, 0)])
def test_a_version_without_the_wal_reset_bug_is_known(version: tuple[int, ...]) -> None:
    assert not sqlite.affected_by_wal_reset(version)
