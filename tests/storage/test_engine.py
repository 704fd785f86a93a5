"""Transactions of our own: on our engine, on the host's, from threads and from a loop."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_

from crm_core.errors import CommitOutcomeUnknown, LoadError, MissingExtra, NeedsAwait, ReadOnly, Unavailable
from crm_core.storage import sqlite
from crm_core.storage.engine import Bound, open_engine
from tests.databases import Database, PostgresDatabases

ROOT = Path(__file__).resolve().parents[2]
R = TypeVar("R")


@pytest.fixture
def bound(database: Database) -> Iterator[Bound]:
    opened = open_engine(database.url)
    with opened.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (id integer PRIMARY KEY, n integer NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (1, 0)")
    yield opened
    opened.dispose()


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def postgres(postgres_databases: PostgresDatabases) -> Iterator[Database]:
    made = postgres_databases.create()
    yield made
    postgres_databases.drop(made)


def count(bound: Bound) -> int:
    with bound.begin(write=False) as connection:
        return int(connection.exec_driver_sql("SELECT n FROM counter").scalar_one())


def add_one(connection: sa.Connection) -> int:
    lock = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    n = int(connection.exec_driver_sql("SELECT n FROM counter" + lock).scalar_one()) + 1
    connection.exec_driver_sql(f"UPDATE counter SET n = {n}")
    return n


# -- one transaction


def test_leaving_commits(bound: Bound) -> None:
    with bound.begin() as connection:
        add_one(connection)
    assert count(bound) == 1


def test_an_exception_rolls_back_and_comes_through(bound: Bound) -> None:
    with pytest.raises(KeyError), bound.begin() as connection:
        add_one(connection)
        raise KeyError("mine")
    assert count(bound) == 0


def test_a_savepoint_undoes_its_part_alone(bound: Bound) -> None:
    with bound.begin() as connection:
        add_one(connection)
        with connection.begin_nested() as part:
            add_one(connection)
            part.rollback()
    assert count(bound) == 1


def test_a_reading_transaction_refuses_writes_and_the_next_one_writes(bound: Bound) -> None:
    with pytest.raises(ReadOnly) as error, bound.begin(write=False) as connection:
        add_one(connection)
    assert error.value.code == "read_only_session"
    with bound.begin() as connection:
        assert add_one(connection) == 1


def test_schema_changes_are_part_of_the_transaction(bound: Bound) -> None:
    with pytest.raises(KeyError), bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE never (n integer)")
        raise KeyError
    assert sa.inspect(bound.engine).get_table_names() == ["counter"]


@pytest.mark.parametrize("owned", [True, False])
def test_a_reader_does_not_wait_for_a_writer_and_sees_what_was_committed(bound: Bound, database: Database, owned: bool) -> None:
    bound = bound if owned else open_engine(database.engine())
    with bound.begin() as connection:
        add_one(connection)
        assert count(bound) == 0
    assert count(bound) == 1


# -- on the host's engine


def test_the_hosts_sqlite_connection_keeps_its_settings(sqlite_file: Path) -> None:
    host = sa.create_engine(f"sqlite:///{sqlite_file}", pool_size=1, max_overflow=0)
    names = ("foreign_keys", "synchronous", "busy_timeout", "trusted_schema", "query_only")

    def settings() -> list[object]:
        with host.connect() as connection:
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    before = settings()
    bound = open_engine(host)
    with bound.begin() as connection:
        assert [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names] == [1, 2, 10_000, 0, 0]
    with bound.begin(write=False) as connection:
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1
    assert settings() == before
    bound.dispose()
    assert host.pool.checkedin() == 1  # type: ignore[attr-defined]  # QueuePool's
    host.dispose()


def test_the_hosts_listeners_and_our_begin_get_along(sqlite_file: Path) -> None:
    host = sa.create_engine(f"sqlite:///{sqlite_file}")
    sa.event.listen(host, "connect", lambda dbapi, _: setattr(dbapi, "isolation_level", None))
    sa.event.listen(host, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with open_engine(host).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n integer)")
    assert sa.inspect(host).get_table_names() == ["t"]
    host.dispose()


def test_the_hosts_autocommit_engine_still_gives_whole_transactions(database: Database) -> None:
    bound = open_engine(database.engine(isolation_level="AUTOCOMMIT"))
    with pytest.raises(KeyError), bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE never (n integer)")
        raise KeyError
    assert sa.inspect(database.engine()).get_table_names() == []


# -- asynchronous


async def arun(bound: Bound, work: Callable[[sa.Connection], R], write: bool = True) -> R:
    def inside() -> R:
        with bound.begin(write) as connection:
            return work(connection)

    return await bound.run(inside)


def fail_after_adding(connection: sa.Connection) -> None:
    add_one(connection)
    raise KeyError


@pytest.mark.parametrize("owned", [True, False])
def test_an_asynchronous_engine_commits_and_rolls_back(database: Database, bound: Bound, owned: bool) -> None:
    async def main() -> None:
        host = create_async_engine(database.async_url)
        ours = open_engine(database.async_url if owned else host)
        assert await arun(ours, add_one) == 1
        with pytest.raises(KeyError):
            await arun(ours, fail_after_adding)
        with pytest.raises(ReadOnly):
            await arun(ours, add_one, write=False)
        await ours.adispose()
        await host.dispose()

    asyncio.run(main())
    assert count(bound) == 1


def test_the_synchronous_form_on_an_asynchronous_engine_needs_await_where_a_loop_runs(database: Database) -> None:
    async def main() -> None:
        bound = open_engine(create_async_engine(database.async_url))
        with pytest.raises(NeedsAwait), bound.begin():
            pass

    asyncio.run(main())


def test_the_synchronous_form_on_an_asynchronous_engine_has_a_connection_of_its_own_elsewhere(database: Database, bound: Bound) -> None:
    ours = open_engine(create_async_engine(database.async_url))
    with ours.begin() as connection:
        add_one(connection)
    ours.dispose()
    assert count(bound) == 1


def test_tasks_of_one_loop_wait_for_each_other_without_stopping_it(database: Database, bound: Bound) -> None:
    async def main() -> int:
        ours = open_engine(database.async_url)
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        def slow(connection: sa.Connection) -> int:
            n = add_one(connection)
            await_(asyncio.sleep(0.001))
            return n

        heart = asyncio.create_task(beat())
        assert sorted(await asyncio.gather(*(arun(ours, slow) for _ in range(40)))) == list(range(1, 41))
        heart.cancel()
        await ours.adispose()
        return beats

    assert asyncio.run(main()) > 100
    assert count(bound) == 40


def test_a_cancelled_waiter_leaves_the_line(sqlite_file: Path) -> None:
    async def main() -> None:
        bound = open_engine(f"sqlite+aiosqlite:///{sqlite_file}")
        holds = asyncio.Event()
        goes_on = asyncio.Event()

        def hold(_: sa.Connection) -> None:
            holds.set()
            await_(goes_on.wait())

        holder = asyncio.create_task(arun(bound, hold))
        await holds.wait()
        waiting = asyncio.create_task(arun(bound, lambda _: None))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        goes_on.set()
        await holder
        async with asyncio.timeout(5):
            await arun(bound, lambda connection: connection.exec_driver_sql("CREATE TABLE t (n integer)"))
        await bound.adispose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql+psycopg://x/y", "psycopg", "postgres"),
        ("postgresql+asyncpg://x/y", "asyncpg", "async"),
        ("sqlite+aiosqlite://", "greenlet", "async"),
    ],
)
def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as error:
        open_engine(url)
    assert error.value.params["extra"] == extra


# -- many writers


def race(bound: Bound, threads: int, rounds: int) -> tuple[list[BaseException], list[float]]:
    errors: list[BaseException] = []
    waits: list[float] = []

    def work() -> None:
        for _ in range(rounds):
            start = time.perf_counter()
            try:
                with bound.begin() as connection:
                    add_one(connection)
            except BaseException as e:
                errors.append(e)
            waits.append(time.perf_counter() - start)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return errors, sorted(waits)


def test_eight_threads_read_and_write_fifty_times_each_without_an_error(bound: Bound) -> None:
    errors, waits = race(bound, 8, 50)
    assert errors == []
    assert count(bound) == 400
    print(f"\n{bound.kind}: 8 x 50 read-modify-writes, p50 {waits[200] * 1e3:.1f} ms, p99 {waits[395] * 1e3:.1f} ms")


def test_thirty_two_writers_of_a_file_wait_fairly(sqlite_file: Path) -> None:
    bound = open_engine(f"sqlite:///{sqlite_file}")
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (n integer NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    errors, waits = race(bound, 32, 10)
    assert errors == []
    p99 = waits[int(len(waits) * 0.99)]
    print(f"\nsqlite: 32 writers, p50 {waits[160] * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, worst {waits[-1] * 1e3:.0f} ms")
    # Fair: nobody waits for more than a few rounds of all the others, whatever a round takes here.
    assert p99 < max(1.0, 6 * waits[160])
    bound.dispose()


def test_two_crms_on_one_file_share_its_line(sqlite_file: Path) -> None:
    assert sqlite.queue_of(str(sqlite_file)) is not sqlite.queue_of(str(sqlite_file.with_name("other.db")))
    one = sqlite.queue_of(str(sqlite_file))
    assert sqlite.queue_of(str(sqlite_file.parent / "." / sqlite_file.name)) is one


def test_writers_enter_in_the_order_in_which_they_came() -> None:
    queue = sqlite.WriteQueue()
    entered: list[int] = []

    def work(number: int) -> None:
        with queue.turn(asynchronous=False):
            entered.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    with queue.turn(asynchronous=False):
        for thread in threads:
            thread.start()
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert entered == list(range(10))


def test_waiting_ends_with_an_error_that_can_be_retried() -> None:
    queue = sqlite.WriteQueue(seconds=0.05)
    with queue.turn(asynchronous=False), pytest.raises(Unavailable) as error, queue.turn(asynchronous=False):
        pass
    assert (error.value.code, error.value.params["retryable"]) == ("database_locked", True)
    with queue.turn(asynchronous=False):
        pass


def test_a_database_in_memory_serves_threads_one_after_another() -> None:
    bound = open_engine("sqlite://")
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (n integer NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    errors, _ = race(bound, 8, 20)
    assert (errors, count(bound)) == ([], 160)
    bound.dispose()


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
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (n integer NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
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
        await ours.adispose()

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


def test_a_read_only_file_refuses_writes_and_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as raw:
        raw.execute("CREATE TABLE t (n integer)")
        raw.execute("INSERT INTO t VALUES (1)")
    raw.close()
    bound = open_engine(f"sqlite:///file:{file}?immutable=1&uri=true")
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
    open_engine("sqlite://", refuse_affected_sqlite=True)
    if affected:
        with pytest.raises(LoadError) as error:
            open_engine(url, refuse_affected_sqlite=True)
        assert error.value.code == "sqlite_affected"


@pytest.mark.parametrize("version", [(3, 40, 1), (3, 44, 5), (3, 45, 0), (3, 50, 6), (3, 51, 2)])
def test_a_version_with_the_wal_reset_bug_is_known(version: tuple[int, ...]) -> None:
    assert sqlite.affected_by_wal_reset(version)


@pytest.mark.parametrize("version", [(3, 44, 6), (3, 50, 7), (3, 51, 3), (3, 53, 0)])
def test_a_version_without_the_wal_reset_bug_is_known(version: tuple[int, ...]) -> None:
    assert not sqlite.affected_by_wal_reset(version)
