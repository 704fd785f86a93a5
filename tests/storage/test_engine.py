"""Transactions of our own, on our engine and on the host's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_core.errors import ReadOnly
from crm_core.storage.engine import Bound, open_engine
from crm_core.testing.databases import Database
from tests.storage.counter import add_one, count, create_counter


@pytest.fixture
def bound(database: Database) -> Iterator[Bound]:
    opened = open_engine(database.url)
    create_counter(opened)
    yield opened
    opened.dispose()


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
def test_who_looks_for_long_sees_each_commit_and_nobody_waits(bound: Bound, database: Database, owned: bool) -> None:
    bound = bound if owned else open_engine(database.engine())
    with bound.looking() as looking:
        for expected in range(3):
            assert looking.exec_driver_sql("SELECT max(n) FROM counter").scalar() == expected
            with bound.begin() as connection:
                add_one(connection)
    with bound.begin() as connection:
        assert add_one(connection) == 4


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
