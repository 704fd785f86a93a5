"""The ground the other tests stand on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_core.testing.databases import Database, Databases, PostgresDatabases
from crm_core.testing.postgres import CannotStart, PostgresServer, _programs

ROOT = Path(__file__).resolve().parent.parent


def _answer(database: Database, sql: str) -> object:
    with database.engine().begin() as connection:
        return connection.execute(sa.text(sql)).scalar_one()


def _add_table(database: Database) -> None:
    with database.engine().begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (n integer)"))
        connection.execute(sa.text("INSERT INTO kept VALUES (42)"))


def test_both_databases_answer(database: Database) -> None:
    version = "SELECT version()" if database.kind == "postgresql" else "SELECT 'SQLite ' || sqlite_version()"
    assert str(_answer(database, version)).startswith({"postgresql": "PostgreSQL 18.", "sqlite": "SQLite 3."}[database.kind])


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_an_empty_database(database: Database, turn: int) -> None:
    assert sa.inspect(database.engine()).get_table_names() == []
    _add_table(database)


def test_a_prepared_database_is_copied_and_the_copies_are_apart(databases: Databases) -> None:
    runs = []

    def prepare(database: Database) -> None:
        runs.append(database)
        _add_table(database)

    first, second = databases.reserve(), databases.reserve()
    databases.fill(first, "kept", prepare)
    with first.engine().begin() as connection:
        connection.execute(sa.text("UPDATE kept SET n = 0"))
    databases.fill(second, "kept", prepare)
    assert (_answer(first, "SELECT n FROM kept"), _answer(second, "SELECT n FROM kept")) == (0, 42)
    assert len(runs) == 1
    databases.drop(first)
    databases.drop(second)


def test_two_workers_of_one_server_do_not_share_a_database(postgres_databases: PostgresDatabases) -> None:
    mine = postgres_databases.create()
    neighbour = PostgresDatabases(mine.url, "neighbour")
    theirs = neighbour.create()
    _add_table(mine)
    assert sa.inspect(theirs.engine()).get_table_names() == []
    neighbour.drop(theirs)
    neighbour.close()
    assert _answer(mine, "SELECT n FROM kept") == 42
    postgres_databases.drop(mine)


def test_databases_are_made_again_after_the_server_cut_the_connection(postgres_databases: PostgresDatabases) -> None:
    server = postgres_databases.create()
    databases = PostgresDatabases(server.url, "cut")
    first = databases.create()
    others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert _answer(server, others) == 1
    databases.drop(first)
    second = databases.create()
    assert str(_answer(second, "SELECT current_database()")) in second.url
    databases.drop(second)
    databases.close()
    postgres_databases.drop(server)


def test_a_database_is_dropped_under_an_open_connection(databases: Databases) -> None:
    database = databases.create()
    leaked = sa.create_engine(database.url, poolclass=sa.pool.StaticPool)
    with leaked.connect() as connection:
        connection.execute(sa.text("CREATE TABLE kept (n integer)"))
        databases.drop(database)
        connection.invalidate()
    if database.kind == "sqlite":
        assert not Path(database.url.removeprefix("sqlite:///")).exists()
    else:
        with pytest.raises(sa.exc.OperationalError, match="does not exist"):
            leaked.connect()


def test_a_durable_server_keeps_fsync_on() -> None:
    server = PostgresServer.start(durable=True)
    try:
        databases = PostgresDatabases(server.url, "durable")
        database = databases.create()
        assert (_answer(database, "SHOW fsync"), _answer(database, "SHOW synchronous_commit")) == ("on", "on")
        database.close()
        databases.close()
    finally:
        server.stop()
    assert not server.directory.exists()


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_core.testing.postgres._FAST", {"shared_buffers": "a lot"})
    with pytest.raises(CannotStart, match=r'invalid value for parameter "shared_buffers"'):
        PostgresServer.start()


def test_the_programs_are_copied_where_their_user_may_not_reach_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_core.testing.postgres._can_run", lambda *_: False)
    programs = _programs(tmp_path, {"user": os.getuid()})
    assert programs.is_relative_to(tmp_path)
    assert "PostgreSQL) 18." in subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout


def test_the_server_ends_with_a_run_that_was_killed() -> None:
    program = "from crm_core.testing.postgres import *; s = PostgresServer.start(); print(s.directory, flush=True); time.sleep(600)"
    run = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    directory = Path(run.stdout.readline().strip())
    server = int((directory / "data" / "postmaster.pid").read_text().split()[0])
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 20
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
