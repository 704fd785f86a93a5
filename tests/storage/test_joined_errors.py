"""What the database says inside the host's transaction: each call raises a typed error, and the transaction stays the host's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import attrs
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.exc import DBAPIError, IntegrityError

from crm_core import Account, Actor, Contact, CRMError, Plugin, Refused, Role, Session, Unavailable

SYSTEM = Actor.system("test", tenant="main")
BREAK = {
    "sqlite": ["CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT json('nonsense'); END"],
    "postgresql": [
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$",
        "CREATE TRIGGER broken BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION broken()",
    ],
}


class Base(orm.DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]


@attrs.frozen
class Settings:
    days: int = 3


plugin = Plugin("desk", version="1.0", settings=Settings)
knows = plugin.link(Account, Contact)


@pytest.fixture
def crm(make_crm: Any) -> Any:
    return make_crm(plugins=[plugin])


@pytest.fixture
def host(crm: Any) -> Iterator[sa.Engine]:
    engine = sa.create_engine(crm.url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA foreign_keys = 1"))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def _records(s: Session) -> tuple[Account, Contact]:
    return s.query(Account).one(), s.query(Contact).one()


CALLS: dict[str, tuple[Callable[[Any], str], Callable[[Session], object]]] = {
    "share": (lambda t: t.system.share.name, lambda s: s.share(_records(s)[0], "user:7")),
    "change_settings": (lambda t: t.system.setting.name, lambda s: s.change_settings(Settings, {"days": 5})),
    "define_role": (lambda t: t.system.role.name, lambda s: s.define_role(Role("own").allow(Account, "read"))),
    "link": (lambda t: t.links[knows].name, lambda s: s.link(knows, *_records(s))),
    "create": (lambda t: t.entities[Account].name, lambda s: s.create(Account(name="b"))),
    "note": (lambda t: t.system.journal.name, lambda s: s.note("core.test.v1", {})),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_error_nobody_foresaw_is_typed_and_the_transaction_goes_on_as_the_hosts(crm: Any, host: sa.Engine, call: str) -> None:
    table, work = CALLS[call]
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a"))
        s.create(Contact(name="c"))
    with host.begin() as c:
        for statement in BREAK[host.dialect.name]:
            c.exec_driver_sql(statement.format(table=table(crm.tables)))
    ended: list[str] = []
    sa.event.listen(host, "commit", lambda _: ended.append("commit"))
    sa.event.listen(host, "rollback", lambda _: ended.append("rollback"))
    with host.connect() as c, c.begin():
        c.execute(sa.insert(Order).values(id=1, name="before"))
        with crm.session(SYSTEM, on=c) as s, pytest.raises(Unavailable) as e:
            work(s)
        c.execute(sa.insert(Order).values(id=2, name="after"))
        assert ended == []
    assert ended == ["commit"]
    assert e.value.code == "database_failed"
    assert isinstance(e.value.__cause__, DBAPIError)
    with host.connect() as c:
        assert c.execute(sa.select(Order.name).order_by(Order.id)).scalars().all() == ["before", "after"]


@pytest.mark.parametrize("where", ["at its start", "at its end"])
def test_a_key_that_cannot_be_kept_is_a_typed_error_of_a_joined_session(crm: Any, host: sa.Engine, where: str) -> None:
    verb = "INSERT" if where == "at its start" else "UPDATE"
    with host.begin() as c:
        for statement in BREAK[host.dialect.name]:
            c.exec_driver_sql(statement.replace("INSERT", verb).format(table=crm.tables.system.idempotency.name))
    with host.connect() as c, c.begin():
        c.execute(sa.insert(Order).values(id=1, name="before"))
        with pytest.raises(Unavailable) as e, crm.session(SYSTEM, on=c, idempotency_key="k") as s:
            s.create(Account(name="a"))
        assert e.value.code == "database_failed"
        c.execute(sa.insert(Order).values(id=2, name="after"))
    with crm.session(SYSTEM) as s:
        assert s.query(Account).count() == 0
    with host.connect() as c:
        assert c.execute(sa.select(sa.func.count()).select_from(Order)).scalar_one() == 2


def test_a_read_that_fails_is_typed_too(crm: Any, host: sa.Engine) -> None:
    with host.begin() as c:
        c.exec_driver_sql(f"ALTER TABLE {crm.tables.system.setting.name} RENAME TO gone")
    with host.connect() as c, crm.session(SYSTEM, on=c, write=False) as s, pytest.raises(CRMError) as e:
        s.settings(Settings)
    assert e.value.code == "schema_behind"


def test_a_writing_session_whose_read_failed_says_at_its_end_whether_the_transaction_can_go_on(crm: Any, host: sa.Engine) -> None:
    """PostgreSQL takes no more of it, and would turn the host's COMMIT into a rollback without a word."""
    with host.begin() as c:
        c.exec_driver_sql(f"ALTER TABLE {crm.tables.system.setting.name} RENAME TO gone")
    refused = host.dialect.name == "postgresql"
    with host.connect() as c, pytest.raises(Refused) if refused else nullcontext() as ended, crm.session(SYSTEM, on=c) as s:
        with pytest.raises(CRMError) as e:
            s.settings(Settings)
        assert e.value.code == "schema_behind"
    assert not refused or ended.value.code == "host_transaction_failed"  # type: ignore[union-attr]  # the error, where there is one


def test_what_the_hosts_own_statements_raise_stays_the_hosts(crm: Any, host: sa.Engine) -> None:
    with host.begin() as c:
        c.execute(sa.insert(Order).values(id=1, name="first"))
    with host.connect() as c, pytest.raises(IntegrityError), crm.session(SYSTEM, on=c) as s:
        s.create(Account(name="a"))
        c.execute(sa.insert(Order).values(id=1, name="again"))
    with orm.Session(host) as o:
        o.add(Order(id=1, name="again"))
        with pytest.raises(IntegrityError), crm.session(SYSTEM, on=o) as s:
            s.create(Account(name="a"))


def test_an_error_of_the_database_is_met_again_under_its_key(crm: Any, host: sa.Engine) -> None:
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a"))
    with host.begin() as c:
        for statement in BREAK[host.dialect.name]:
            c.exec_driver_sql(statement.format(table=crm.tables.system.share.name))
    for _ in range(2):
        with crm.session(SYSTEM, idempotency_key="k") as s:
            with pytest.raises(Unavailable) as e:
                s.share(s.query(Account).one(), "user:7")
            s.create(Contact(name="c"))
        assert e.value.code == "database_failed"
        with host.begin() as c:
            on = f" ON {crm.tables.system.share.name}" if host.dialect.name == "postgresql" else ""
            c.exec_driver_sql(f"DROP TRIGGER IF EXISTS broken{on}")
    with crm.session(SYSTEM) as s:
        assert s.query(Contact).count() == 1
