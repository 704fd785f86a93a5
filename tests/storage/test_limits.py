"""How long a statement may run: ours are ended, a host's transaction and its connections stay as they are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Thread
from time import perf_counter, sleep
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import func, select

from crm_core import CRM, Account, Actor, Created, Plugin, Session
from crm_core.errors import Conflict, CRMError, LoadError, Unavailable
from crm_core.messages import Messages
from crm_core.storage.failures import retryable
from crm_core.storage.limits import Clock
from crm_core.testing.databases import Database

SYSTEM = Actor.system("test", tenant="main")


def endless() -> Any:
    """A recursive CTE over an entity, which the lens lets through and nothing ends."""
    first = select(Account.name).where(Account.name == "a").cte("names", recursive=True)
    more = first.union_all(select(first.c.name))
    return select(func.count()).select_from(more)


@pytest.fixture
def crm(make_crm: Any) -> Any:
    made = make_crm(statement_timeout=0.3)
    with made.session(SYSTEM) as s:
        s.create(Account(name="a"))
    return made


def ended(work: Any) -> Unavailable:
    began = perf_counter()
    with pytest.raises(Unavailable) as caught:
        work()
    assert perf_counter() - began < 20
    assert caught.value.code == "statement_timeout"
    assert not retryable(caught.value)
    return caught.value


@pytest.mark.parametrize("write", [False, True])
def test_a_runaway_statement_is_ended_and_the_crm_goes_on(crm: CRM, write: bool) -> None:
    def run() -> None:
        with crm.session(SYSTEM, write=write) as s:
            s.execute(endless()).all()

    error = ended(run)
    assert "longer than is allowed" in error.message("en", Messages())
    assert "终止" in error.message("zh", Messages())
    with crm.session(SYSTEM) as s:
        s.create(Account(name="b"))
        assert s.query(Account).count() == 2


def test_each_statement_has_its_own_time(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        began = perf_counter()
        while perf_counter() - began < 0.8:
            assert s.query(Account).count() == 1
            assert s.get(Account, s.query(Account).one().id).name == "a"


def test_a_transaction_that_began_anew_is_limited_too(crm: CRM) -> None:
    def run() -> None:
        with crm.session(SYSTEM) as s:
            with pytest.raises(Conflict):
                s.update(Account, s.query(Account).one().id, {"name": "c"}, version=99)
            s.execute(endless()).all()

    ended(run)


def test_what_reads_between_transactions_is_limited_and_leaves_the_connection_as_it_was(crm: CRM) -> None:
    def run() -> None:
        with crm.bound.looking() as connection:
            connection.exec_driver_sql("WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g FROM n) SELECT count(*) FROM n").all()

    ended(run)
    if crm.bound.kind == "postgresql":
        with crm.bound.engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"


def test_a_hosts_transaction_is_not_limited(crm: CRM, make_crm: Any) -> None:
    numbers = "WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < {}) SELECT count(*) FROM n"
    engine = sa.create_engine(crm.url)
    with engine.begin() as connection:
        with crm.session(SYSTEM, on=connection) as s:
            s.create(Account(name="b"))
        if crm.bound.kind == "postgresql":
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"
        began = perf_counter()
        count = 1_000_000
        while perf_counter() - began < 0.4:
            assert connection.exec_driver_sql(numbers.format(count)).scalar_one() == count
            count *= 2
    engine.dispose()


def test_the_hosts_engine_gets_its_connections_back_without_a_limit(database: Database) -> None:
    engine = database.engine(pool_size=1, max_overflow=0)
    crm = CRM(engine, statement_timeout=0.2)
    crm.migrate()
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a"))
    numbers = "WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < 3000000) SELECT count(*) FROM n"
    with engine.connect() as connection:
        began = perf_counter()
        while perf_counter() - began < 0.4:
            assert connection.exec_driver_sql(numbers).scalar_one() == 3_000_000
    crm.close()


def test_an_asynchronous_session_is_limited(crm: CRM) -> None:
    url = crm.url.replace("sqlite:", "sqlite+aiosqlite:").replace("+psycopg:", "+asyncpg:")

    async def run() -> None:
        other = CRM(url, statement_timeout=0.3)
        try:
            async with other.asession(SYSTEM, write=False) as s:
                await s.run(lambda inner: inner.execute(endless()).all())
        finally:
            async with other.asession(SYSTEM, write=False) as s:
                counted.append(await s.run(lambda inner: inner.query(Account).count()))
            await other.run(lambda c: c.close())

    counted: list[int] = []
    assert ended(lambda: asyncio.run(run())).code == "statement_timeout"
    assert counted == [1], "the next session works"


def slow(session: Session) -> None:
    """Take longer than any statement of a user may."""
    numbers = "WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < {}) SELECT count(*) FROM n"
    took, count = 0.0, 1_000_000
    while took < 0.5:
        began = perf_counter()
        session._unit.connection.exec_driver_sql(numbers.format(count)).all()
        took, count = perf_counter() - began, count * 3


def test_delivery_takes_the_time_it_needs(make_crm: Any) -> None:
    plugin = Plugin("slow", version="1.0")
    plugin.grants("account:read")
    heard: list[str] = []

    @plugin.on(Created[Account], batch=True)
    def hear(session: Session, events: list[Created[Account]]) -> None:
        slow(session)
        heard.extend(str(event.new["name"]) for event in events)

    crm = make_crm(plugins=[plugin], statement_timeout=0.3)
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a"))
    crm.run_pending()
    assert heard == ["a"]

    def run() -> None:
        with crm.session(SYSTEM) as s:
            slow(s)

    ended(run)


def test_a_rollup_is_rebuilt_in_the_time_it_needs_and_the_limit_holds_again_after_it(make_crm: Any) -> None:
    plugin = Plugin("slow", version="1.0")
    kept = plugin.rollup("kept", Account, by=["industry"])
    crm = make_crm(plugins=[plugin], statement_timeout=0.3)
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a"))
    if crm.bound.kind == "postgresql":
        with crm.bound.begin(unlimited=True) as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$"
            )
            connection.exec_driver_sql(
                f"CREATE TRIGGER slow BEFORE INSERT ON {crm.tables.system.rollup.name} FOR EACH ROW EXECUTE FUNCTION slow()"
            )

    def run() -> None:
        with crm.session(SYSTEM) as s:
            assert s.rebuild(kept) == 1
            s.execute(endless()).all()

    ended(run)


def test_a_statement_that_somebody_cancels_in_time_is_not_called_too_long(postgres_databases: Any) -> None:
    database = postgres_databases.create()
    crm = CRM(database.url, statement_timeout=30)
    crm.migrate()
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a"))
    backend: list[int] = []

    def cancel() -> None:
        engine = sa.create_engine(crm.url)
        sleep(0.5)
        with engine.connect() as c:
            c.exec_driver_sql(f"SELECT pg_cancel_backend({backend[0]})")
        engine.dispose()

    other = Thread(target=cancel)
    with pytest.raises(Unavailable) as caught, crm.session(SYSTEM) as s:
        backend.append(s._unit.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        other.start()
        s.execute(endless()).all()
    other.join()
    assert caught.value.code == "statement_cancelled"
    assert retryable(caught.value)
    crm.close()
    postgres_databases.drop(database)


@pytest.mark.parametrize("where", ["in execute", "in a query", "in a write"])
def test_a_statement_that_took_too_long_says_so_where_it_was_called(postgres_databases: Any, where: str) -> None:
    database = postgres_databases.create()
    crm = CRM(database.url, statement_timeout=0.3)
    crm.migrate()
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a"))
    if where == "in a write":
        with crm.bound.begin(unlimited=True) as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$"
            )
            connection.exec_driver_sql("CREATE TRIGGER slow BEFORE INSERT ON crm_account FOR EACH ROW EXECUTE FUNCTION slow()")
    calls = {
        "in execute": lambda s: s.execute(endless()),
        "in a query": lambda s: s.query(Account).where(endless().scalar_subquery() > 0).all(),
        "in a write": lambda s: s.create(Account(name="b")),
    }
    with suppress(CRMError), crm.session(SYSTEM) as s, pytest.raises(Unavailable) as caught:
        calls[where](s)
    assert caught.value.code == "statement_timeout"
    crm.close()
    postgres_databases.drop(database)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9, "5", True])
def test_a_time_that_cannot_be_kept_is_refused(seconds: Any) -> None:
    with pytest.raises(LoadError) as caught:
        CRM("sqlite://", statement_timeout=seconds)
    assert caught.value.code == "bad_statement_timeout"


def test_on_sqlite_only_reads_are_limited() -> None:
    """An interrupted write would roll the whole transaction back, savepoints included, and what follows would commit by itself."""
    clock = Clock(0.001, writes=False)
    for statement, limited in (
        ("INSERT INTO a VALUES (1)", False),
        ("UPDATE a SET b = 1", False),
        (" select 1", True),
        ("WITH b AS", True),
    ):
        clock.start(statement)
        sleep(0.005)
        assert clock.is_over() is limited, statement
