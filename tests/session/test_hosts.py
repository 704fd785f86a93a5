"""A session in the host's transaction, whatever the host's connection is: both commit, or neither is there."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from crm_core import CRM, Account, Actor, Session
from crm_core.errors import WrongArgument
from tests.conftest import MakeCRM

SYSTEM = Actor.system("test", tenant="main")
SHOP = sa.MetaData()
ORDERS = sa.Table("orders", SHOP, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String, nullable=False))


class Base(orm.DeclarativeBase):
    pass


class Order(Base):
    __table__ = ORDERS
    name: orm.Mapped[str]


def keeps_references(engine: sa.Engine) -> sa.Engine:
    """Make an engine that of a careful host: SQLite's keeps references."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA foreign_keys = 1"))
    return engine


@pytest.fixture
def crm(make_crm: MakeCRM) -> CRM:
    made: CRM = make_crm()
    with made.bound.begin() as connection:
        SHOP.create_all(connection)
    return made


def there(crm: CRM) -> tuple[list[str], list[str]]:
    """Return the host's names and ours, as somebody else sees them."""
    with crm.bound.begin(write=False) as connection:
        theirs = list(connection.execute(sa.select(ORDERS.c.name).order_by(ORDERS.c.id)).scalars())
    with crm.session(SYSTEM, write=False) as s:
        return theirs, [a.name for a in s.query(Account).order_by(Account.name).all()]


def entries(crm: CRM) -> int:
    with crm.bound.begin(write=False) as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(crm.tables.system.journal)).scalar_one()


def ours(s: Session) -> None:
    """Write, change, fail and read in the host's transaction."""
    acme = s.create(Account(name="acme"))
    s.update(Account, acme.id, {"industry": "steel"})
    s.create_many([Account(name="bolt"), Account(name="cord")])
    with pytest.raises(ZeroDivisionError), s.savepoint():
        s.create(Account(name="never"))
        raise ZeroDivisionError
    assert [a.name for a in s.query(Account).order_by(Account.name).page(2)] == ["acme", "bolt"]
    assert s.execute(sa.select(Account.industry).where(Account.name == "acme")).scalar_one() == "steel"


# Each writes a row of the host before and after ours, checks in between that nobody else sees any of it, and ends as it is told.


def on_connection(crm: CRM, commits: bool) -> None:
    engine = keeps_references(sa.create_engine(crm.url))
    with engine.connect() as theirs:
        theirs.execute(sa.insert(ORDERS).values(name="before"))
        with crm.session(SYSTEM, on=theirs) as s:
            ours(s)
        theirs.execute(sa.insert(ORDERS).values(name="after"))
        assert there(crm) == ([], [])
        theirs.commit() if commits else theirs.rollback()
    engine.dispose()


def on_orm_session(crm: CRM, commits: bool) -> None:
    engine = keeps_references(sa.create_engine(crm.url))
    with orm.Session(engine) as theirs:
        theirs.add(Order(name="before"))
        with crm.session(SYSTEM, on=theirs) as s:
            ours(s)
        theirs.add(Order(name="after"))
        theirs.flush()
        assert there(crm) == ([], [])
        theirs.commit() if commits else theirs.rollback()
    engine.dispose()


def on_raw_connection(crm: CRM, commits: bool) -> None:
    url = crm.bound.engine.url
    raw: Any
    if crm.bound.kind == "sqlite":
        raw = sqlite3.connect(str(url.database))
        raw.execute("PRAGMA foreign_keys = 1")
    else:
        raw = psycopg.connect(host=str(url.query["host"]), user=url.username, dbname=url.database)
    raw.execute("INSERT INTO orders (name) VALUES ('before')")
    with crm.session(SYSTEM, on=raw) as s:
        ours(s)
    raw.execute("INSERT INTO orders (name) VALUES ('after')")
    assert there(crm) == ([], [])
    raw.commit() if commits else raw.rollback()
    raw.close()


def _async_url(crm: CRM) -> str:
    return crm.url.replace("sqlite:", "sqlite+aiosqlite:").replace("+psycopg:", "+asyncpg:")


def on_async_connection(crm: CRM, commits: bool) -> None:
    async def main() -> None:
        engine = create_async_engine(_async_url(crm))
        keeps_references(engine.sync_engine)
        host = CRM(engine)
        async with engine.connect() as theirs:
            await theirs.execute(sa.insert(ORDERS).values(name="before"))
            async with host.asession(SYSTEM, on=theirs) as s:
                await s.run(ours)
            await theirs.execute(sa.insert(ORDERS).values(name="after"))
            assert there(crm) == ([], [])
            await (theirs.commit() if commits else theirs.rollback())
        await engine.dispose()

    asyncio.run(main())


def on_async_session(crm: CRM, commits: bool) -> None:
    async def main() -> None:
        engine = create_async_engine(_async_url(crm))
        keeps_references(engine.sync_engine)
        host = CRM(engine)
        async with AsyncSession(engine) as theirs:
            theirs.add(Order(name="before"))
            async with host.asession(SYSTEM, on=theirs) as s:
                await s.run(ours)
            theirs.add(Order(name="after"))
            await theirs.flush()
            assert there(crm) == ([], [])
            await (theirs.commit() if commits else theirs.rollback())
        await engine.dispose()

    asyncio.run(main())


HOSTS: list[Callable[[CRM, bool], None]] = [on_connection, on_orm_session, on_raw_connection, on_async_connection, on_async_session]


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.__name__)
@pytest.mark.parametrize("commits", [True, False], ids=["commits", "rolls_back"])
def test_a_session_in_a_hosts_transaction_ends_as_the_host_ends_it(crm: CRM, host: Callable[[CRM, bool], None], commits: bool) -> None:
    host(crm, commits)
    assert there(crm) == ((["before", "after"], ["acme", "bolt", "cord"]) if commits else ([], []))
    assert entries(crm) == (4 if commits else 0)
    with crm.session(SYSTEM) as s:
        assert s.create(Account(name="next")).version == 1


# -- the host's ORM


def test_what_a_failed_session_wrote_is_gone_though_the_host_goes_on(crm: CRM) -> None:
    """Law 5: the host may catch the error; half of a call must not be in what it commits."""
    engine = keeps_references(sa.create_engine(crm.url))
    before = entries(crm)
    with engine.begin() as theirs:
        theirs.execute(sa.insert(ORDERS).values(name="before"))
        with pytest.raises(ZeroDivisionError), crm.session(SYSTEM, on=theirs) as s:
            s.create(Account(name="half"))
            raise ZeroDivisionError
        theirs.execute(sa.insert(ORDERS).values(name="after"))
    engine.dispose()
    assert (there(crm), entries(crm)) == ((["before", "after"], []), before)


def test_an_orm_session_is_flushed_before_ours_and_reads_anew_after(crm: CRM) -> None:
    class Mapped(orm.DeclarativeBase):
        pass

    class HostsAccount(Mapped):
        __table__ = crm.table(Account)
        name: orm.Mapped[str]

    with crm.session(SYSTEM) as s:
        acme = s.create(Account(name="acme"))
    engine = keeps_references(sa.create_engine(crm.url))
    with orm.Session(engine) as theirs:
        order = Order(name="pending")
        theirs.add(order)
        seen = theirs.scalars(sa.select(HostsAccount).where(HostsAccount.__table__.c.id == acme.id)).one()
        assert seen.name == "acme"
        order.name = "changed"
        with crm.session(SYSTEM, on=theirs) as s:
            s.update(Account, acme.id, {"name": "new"})
            assert not theirs.dirty
        assert sa.inspect(seen).expired
        assert seen.name == "new"
        theirs.rollback()
    engine.dispose()
    assert there(crm) == ([], ["acme"])


# -- the host's tables and ours


def test_host_columns_join_ours_in_the_hosts_own_sql_and_refer_to_real_rows(make_crm: MakeCRM) -> None:
    crm: CRM = make_crm()
    accounts = crm.table(Account)
    shop = sa.MetaData()
    baskets = sa.Table(
        "baskets",
        shop,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("pieces", sa.Integer, nullable=False),
        sa.Column("account", accounts.c.id.type, sa.ForeignKey(accounts.c.id), nullable=False),
    )
    engine = keeps_references(sa.create_engine(crm.url))
    with engine.begin() as connection:
        shop.create_all(connection)
    with engine.begin() as theirs:
        with crm.session(SYSTEM, on=theirs) as s:
            acme, bolt = (s.create(Account(name=n, industry="steel")) for n in ("acme", "bolt"))
            s.create(Account(name="idle"))
        theirs.execute(
            sa.insert(baskets), [{"pieces": 3, "account": acme.id}, {"pieces": 4, "account": acme.id}, {"pieces": 5, "account": bolt.id}]
        )
    with engine.connect() as theirs:
        joined = sa.select(accounts.c.name, sa.func.sum(baskets.c.pieces)).join(baskets, baskets.c.account == accounts.c.id)
        rows = theirs.execute(joined.group_by(accounts.c.name).order_by(accounts.c.name)).all()
        plain = theirs.exec_driver_sql("SELECT a.name, b.pieces FROM crm_account a JOIN baskets b ON b.account = a.id ORDER BY b.id").all()
    assert [tuple(row) for row in rows] == [("acme", 7), ("bolt", 5)]
    assert [tuple(row) for row in plain] == [("acme", 3), ("acme", 4), ("bolt", 5)]
    unknown = "01890000-0000-7000-8000-000000000000"
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as theirs:
        theirs.execute(sa.insert(baskets).values(pieces=1, account=unknown))
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as theirs:
        theirs.execute(sa.delete(accounts).where(accounts.c.id == acme.id))
    with engine.connect() as theirs:
        assert theirs.execute(sa.select(sa.func.count()).select_from(baskets)).scalar_one() == 3
    engine.dispose()


# -- what is known under a key


@pytest.mark.parametrize("commits", [True, False], ids=["commits", "rolls_back"])
def test_an_outcome_is_what_the_host_made_of_it(crm: CRM, commits: bool) -> None:
    engine = keeps_references(sa.create_engine(crm.url))
    with engine.connect() as theirs:
        with crm.session(SYSTEM, on=theirs, idempotency_key="k") as s:
            acme = s.create(Account(name="acme"))
        assert crm.outcome("k") is None
        theirs.commit() if commits else theirs.rollback()
    engine.dispose()
    found = crm.outcome("k")
    if commits:
        assert found is not None
        assert [call["call"] for call in found["calls"]] == ["create"]
    else:
        assert found is None
    with crm.session(SYSTEM, idempotency_key="k") as s:
        again = s.create(Account(name="acme"))
    assert (again.id == acme.id) is commits
    assert there(crm) == ([], ["acme"])


def test_what_an_asynchronous_session_does_not_have_is_said_with_what_to_write(make_crm: MakeCRM) -> None:
    crm = make_crm()

    async def story() -> None:
        engine = create_async_engine(_async_url(crm))
        host = CRM(engine)
        async with host.asession(SYSTEM) as s:
            anything: Any = s
            with pytest.raises(AttributeError, match=r"await s\.run\(lambda s: s\.query\(\.\.\.\)\)"):
                anything.query(Account)

            async def counted(_: Session) -> None:
                """Never be run."""

            with pytest.raises(WrongArgument, match="an async def was given"):
                await anything.run(counted)
            assert await s.run(lambda inner: inner.query(Account).count()) == 0
        await engine.dispose()

    asyncio.run(story())
