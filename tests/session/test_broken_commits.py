"""The connection breaks during COMMIT: nobody knows what became of it, until ``crm.outcome`` is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core import CRM, Account, Actor, CommitOutcomeUnknown, Session
from crm_core.testing.databases import PostgresDatabases
from tests.session.cutting import CuttingProxy, When

SYSTEM = Actor.system("test", tenant="main")


@pytest.fixture
def crm(postgres_databases: PostgresDatabases) -> Iterator[CRM]:
    """A CRM on PostgreSQL. On SQLite there is no connection that could break: its COMMIT returns, or the process is gone."""
    made = postgres_databases.create()
    crm = CRM(made.url)
    crm.migrate()
    yield crm
    crm.close()
    postgres_databases.drop(made)


@pytest.fixture
def proxy(crm: CRM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CuttingProxy]:
    folder = tmp_path_factory.mktemp("s")
    made = CuttingProxy(folder, Path(str(crm.bound.engine.url.query["host"])))
    yield made
    made.close()


@pytest.fixture
def through(crm: CRM, proxy: CuttingProxy) -> Iterator[CRM]:
    """The same database, through the proxy."""
    made = CRM(crm.bound.engine.url.update_query_dict({"host": str(proxy.folder)}).render_as_string(hide_password=False))
    yield made
    made.close()


def names(crm: CRM) -> list[str]:
    with crm.session(SYSTEM, write=False) as s:
        return [a.name for a in s.query(Account).all()]


def entries(crm: CRM) -> int:
    with crm.bound.begin(write=False) as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(crm.tables.system.journal)).scalar_one()


def settled(crm: CRM) -> None:
    """Wait until the server has done with every other connection of this database."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    end = monotonic() + 10
    while monotonic() < end:
        with crm.bound.begin(write=False) as connection:
            if not connection.exec_driver_sql(others).scalar_one():
                return
        sleep(0.01)
    raise AssertionError("a connection stays")


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_broken_commit_the_outcome_says_what_is_there_and_the_key_is_done_once(
    crm: CRM, through: CRM, proxy: CuttingProxy, when: When
) -> None:
    tries: list[str] = []

    def work(s: Session) -> str:
        tries.append("")
        return str(s.create(Account(name="Acme")).id)

    assert names(through) == []
    proxy.when = when
    with pytest.raises(CommitOutcomeUnknown) as raised:
        through.transact(SYSTEM, work, idempotency_key="k")
    proxy.when = None
    assert "crm.outcome" in raised.value.message()
    assert (proxy.cut, len(tries)) == (1, 1), "what may have been done is not tried again by itself"
    settled(crm)
    done = when == "after"
    for either in (through, crm):
        found: Any = either.outcome("k")
        assert (None if found is None else [call["call"] for call in found["calls"]]) == (["create"] if done else None)
    assert names(crm) == (["Acme"] if done else [])
    assert entries(crm) == (1 if done else 0)
    again = through.transact(SYSTEM, work, idempotency_key="k")
    with crm.session(SYSTEM) as s:
        assert [a.id for a in s.query(Account).all()] == [again]
    assert entries(crm) == 1


def test_a_server_that_ends_the_connection_at_commit_leaves_nothing(crm: CRM) -> None:
    with crm.bound.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON crm_account DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()"
        )
    with pytest.raises(CommitOutcomeUnknown), crm.session(SYSTEM, idempotency_key="k") as s:
        s.create(Account(name="Acme"))
    assert crm.outcome("k") is None
    assert (names(crm), entries(crm)) == ([], 0)
    with crm.bound.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER cut ON crm_account")
    with crm.session(SYSTEM, idempotency_key="k") as s:
        s.create(Account(name="Acme"))
    assert (names(crm), entries(crm)) == (["Acme"], 1)
