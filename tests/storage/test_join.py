"""Our statements in the host's transaction: whatever the host's connection is, they end as the host ends it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from crm_core.errors import Refused
from crm_core.storage.engine import Bound, open_engine
from crm_core.storage.join import joined
from crm_core.testing.databases import Database

SHOP = sa.MetaData()
ORDERS = sa.Table("orders", SHOP, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String), sa.Column("data", sa.JSON))


class Base(orm.DeclarativeBase):
    pass


class Order(Base):
    __table__ = ORDERS
    name: orm.Mapped[str]


def sqlite_path(database: Database) -> str:
    return database.url.removeprefix("sqlite:///")


def raw_connection(database: Database, **options: Any) -> Any:
    if database.kind == "sqlite":
        raw = sqlite3.connect(sqlite_path(database), **options)
        raw.row_factory = lambda cursor, row: {d[0]: value for d, value in zip(cursor.description, row, strict=True)}
        return raw
    url = sa.make_url(database.url)
    return psycopg.connect(host=str(url.query["host"]), user=url.username, dbname=url.database, row_factory=dict_row, **options)


@pytest.fixture
def bound(database: Database) -> Iterator[Bound]:
    opened = open_engine(database.url)
    with opened.begin() as connection:
        SHOP.create_all(connection)
    yield opened
    opened.dispose()


@pytest.fixture
def host(database: Database) -> sa.Engine:
    """An engine as a careful host makes it: SQLite's keeps references."""
    engine = database.engine()
    if database.kind == "sqlite":
        sa.event.listen(engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA foreign_keys = 1"))
    return engine


def names(bound: Bound) -> list[str]:
    with bound.begin(write=False) as connection:
        return list(connection.execute(sa.select(ORDERS.c.name).order_by(ORDERS.c.id)).scalars())


def ours(connection: sa.Connection, name: str = "ours") -> None:
    """What a session does on a joined connection: a call that succeeds, and one that fails and is undone alone."""
    with connection.begin_nested():
        connection.execute(sa.insert(ORDERS).values(name=name, data={"a": [1]}))
    with pytest.raises(KeyError), connection.begin_nested():
        connection.execute(sa.insert(ORDERS).values(name="partial"))
        raise KeyError
    assert connection.execute(sa.select(ORDERS.c.data).where(ORDERS.c.name == name)).scalar_one() == {"a": [1]}


# -- SQLAlchemy


@pytest.mark.parametrize("commits", [True, False])
def test_a_sqlalchemy_connection_takes_our_rows_along(bound: Bound, host: sa.Engine, commits: bool) -> None:
    with host.connect() as theirs:
        with joined(bound, theirs) as connection:
            ours(connection)
        theirs.execute(sa.insert(ORDERS).values(name="theirs"))
        assert names(bound) == []
        theirs.commit() if commits else theirs.rollback()
    assert names(bound) == (["ours", "theirs"] if commits else [])


def test_the_host_may_have_written_before_we_join(bound: Bound, host: sa.Engine) -> None:
    with host.begin() as theirs:
        theirs.execute(sa.insert(ORDERS).values(name="theirs"))
        with joined(bound, theirs) as connection:
            ours(connection)
    assert names(bound) == ["theirs", "ours"]


def test_an_engine_with_defaults_can_be_joined_before_its_first_write(bound: Bound, database: Database) -> None:
    with database.engine().begin() as theirs:
        with joined(bound, theirs) as connection:
            ours(connection)
        theirs.execute(sa.insert(ORDERS).values(name="theirs"))
    assert names(bound) == ["ours", "theirs"]


def test_a_sqlite_transaction_without_foreign_keys_is_refused(bound: Bound, database: Database) -> None:
    with database.engine().begin() as theirs:
        theirs.execute(sa.insert(ORDERS).values(name="theirs"))
        if database.kind == "sqlite":
            with pytest.raises(Refused) as error, joined(bound, theirs):
                pass
            assert error.value.code == "foreign_keys_off"
        else:
            with joined(bound, theirs) as connection:
                ours(connection)
    assert names(bound) == (["theirs"] if database.kind == "sqlite" else ["theirs", "ours"])


def test_schema_changes_on_a_joined_connection_vanish_with_it(bound: Bound, host: sa.Engine) -> None:
    with host.connect() as theirs:
        with joined(bound, theirs) as connection:
            connection.exec_driver_sql("CREATE TABLE never (n integer)")
        theirs.rollback()
    assert sa.inspect(host).get_table_names() == ["orders"]


def test_a_connection_in_autocommit_is_refused(bound: Bound, host: sa.Engine) -> None:
    with host.connect().execution_options(isolation_level="AUTOCOMMIT") as theirs:
        with pytest.raises(Refused) as error, joined(bound, theirs) as connection:
            ours(connection)
        assert error.value.code == "host_autocommit"
    assert names(bound) == []


def test_a_driver_in_autocommit_under_a_host_that_begins_itself_is_joined(bound: Bound, database: Database) -> None:
    engine = database.engine()
    if database.kind == "sqlite":
        sa.event.listen(engine, "connect", lambda dbapi, _: setattr(dbapi, "isolation_level", None))
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.connect() as theirs:
        with joined(bound, theirs) as connection:
            ours(connection)
        theirs.rollback()
        with joined(bound, theirs) as connection:
            ours(connection, "again")
        theirs.commit()
    assert names(bound) == ["again"]


def test_an_orm_session_is_flushed_before_and_reads_anew_after(bound: Bound, host: sa.Engine) -> None:
    with orm.Session(host) as session:
        order = Order(name="theirs")
        session.add(order)
        with joined(bound, session) as connection:
            changed = connection.execute(sa.update(ORDERS).where(ORDERS.c.name == "theirs").values(name="changed by us"))
            assert changed.rowcount == 1
        assert order.name == "changed by us"
        session.rollback()
    assert names(bound) == []


def test_an_orm_session_reads_anew_after_a_failure_too(bound: Bound, host: sa.Engine) -> None:
    with orm.Session(host) as session:
        order = Order(name="theirs")
        session.add(order)
        with pytest.raises(KeyError), joined(bound, session) as connection:
            connection.execute(sa.update(ORDERS).values(name="seen"))
            raise KeyError
        assert order.name == "seen"
        session.commit()
    assert names(bound) == ["seen"]


@pytest.mark.parametrize("commits", [True, False])
def test_an_async_session_takes_our_rows_along(bound: Bound, database: Database, commits: bool) -> None:
    async def main() -> None:
        engine = create_async_engine(database.async_url)
        crm = open_engine(engine)

        def work(session: orm.Session) -> None:
            with joined(crm, session) as connection:
                ours(connection)

        async with AsyncSession(engine) as session:
            await session.run_sync(work)
            session.add(Order(name="theirs"))
            await session.flush()
            await (session.commit() if commits else session.rollback())
        async with engine.connect() as theirs:
            await theirs.run_sync(lambda c: joined(crm, c).__enter__())
            await theirs.rollback()
        await engine.dispose()

    asyncio.run(main())
    assert names(bound) == (["ours", "theirs"] if commits else [])


# -- raw drivers


@pytest.mark.parametrize("commits", [True, False])
def test_a_raw_connection_takes_our_rows_along(bound: Bound, database: Database, commits: bool) -> None:
    raw = raw_connection(database)
    with joined(bound, raw) as connection:
        ours(connection)
    raw.execute("INSERT INTO orders (name) VALUES ('theirs')")
    assert names(bound) == []
    raw.commit() if commits else raw.rollback()
    raw.close()
    assert names(bound) == (["ours", "theirs"] if commits else [])


def test_a_raw_connection_keeps_its_row_factory_and_stays_open(bound: Bound, database: Database) -> None:
    raw = raw_connection(database)
    with joined(bound, raw) as connection:
        ours(connection)
    assert raw.execute("SELECT name FROM orders").fetchone() == {"name": "ours"}
    raw.rollback()
    raw.close()


def test_a_failure_of_ours_leaves_the_raw_transaction_usable(bound: Bound, database: Database) -> None:
    raw = raw_connection(database)
    with pytest.raises(sa.exc.DBAPIError), joined(bound, raw) as connection, connection.begin_nested():
        connection.execute(sa.insert(ORDERS).values(name="partial"))
        connection.exec_driver_sql("SELECT * FROM nowhere")
    raw.execute("INSERT INTO orders (name) VALUES ('theirs')")
    raw.commit()
    raw.close()
    assert names(bound) == ["theirs"]


def test_a_raw_connection_in_autocommit_is_refused_outside_a_transaction(bound: Bound, database: Database) -> None:
    raw = raw_connection(database, **({"isolation_level": None} if database.kind == "sqlite" else {"autocommit": True}))
    with pytest.raises(Refused) as error, joined(bound, raw):
        pass
    assert error.value.code == "host_autocommit"
    raw.execute("PRAGMA foreign_keys = 1" if database.kind == "sqlite" else "SELECT 1")
    raw.execute("BEGIN")
    with joined(bound, raw) as connection:
        ours(connection)
    raw.execute("ROLLBACK")
    raw.close()
    assert names(bound) == []


def test_a_raw_connection_joins_a_crm_on_an_asynchronous_engine(bound: Bound, database: Database) -> None:
    crm = open_engine(create_async_engine(database.async_url))
    raw = raw_connection(database)
    with joined(crm, raw) as connection:
        ours(connection)
    raw.commit()
    raw.close()
    crm.dispose()
    assert names(bound) == ["ours"]


# -- what cannot be joined


@pytest.mark.parametrize("wrong", [lambda: object(), lambda: "sqlite://", lambda: sa.create_engine("sqlite://")])
def test_anything_else_is_refused(bound: Bound, wrong: Callable[[], Any]) -> None:
    with pytest.raises(Refused) as error, joined(bound, wrong()):
        pass
    assert error.value.code == "cannot_join"


def test_a_connection_to_another_kind_of_database_is_refused(postgres_databases: Any) -> None:
    bound = open_engine("sqlite://")
    other = postgres_databases.create()
    with other.engine().connect() as theirs, pytest.raises(Refused) as error, joined(bound, theirs):
        pass
    assert error.value.code == "wrong_database"
    postgres_databases.drop(other)
    bound.dispose()
