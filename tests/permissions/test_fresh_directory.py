"""Who reports to whom is up to date in the first session already, also in one that only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, orm, text

from crm_core import CRM, Account, Actor, Role, User, subordinates
from crm_core.testing.databases import Database

ROLE = Role("boss").allow(Account, "read", where=subordinates)
BOSS = Actor("1", roles={"boss"})


class Staff:
    """Two people; the second reports to *manager*."""

    def __init__(self, manager: str | None) -> None:
        self.manager = manager

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        return [User("1", "Boss"), User("2", "Rep", manager=self.manager)]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


class Moving(Staff):
    """People of whom one changes managers once they were asked for."""

    def __init__(self, manager: str | None) -> None:
        super().__init__(manager)
        self.meanwhile: Callable[[], None] | None = None

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        found = super().users(tenant, ids)
        if self.meanwhile is not None:
            self.manager = None
            self.meanwhile()
            self.meanwhile = None
        return found


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("first", ["query", "settings"])
def test_the_first_session_of_a_process_goes_by_the_directory_as_it_is(database: Database, write: bool, first: str) -> None:
    """On SQLite a reading session saw the people as they were when somebody last wrote them down, days ago perhaps."""
    from tests.laws.shop import plugin
    from tests.laws.tricks import Sizes, trick

    seen: list[Any] = []
    for manager in ("1", None, "1"):
        crm = CRM(database.url, plugins=[plugin, trick], roles=[ROLE], directory=Staff(manager))
        if not seen:
            crm.migrate()
            with crm.session(Actor.system("test", tenant="main")) as s:
                s.create(Account(name="a", owner="2"))
        with crm.session(BOSS, write=write) as s:
            if first == "settings":
                s.settings(Sizes)
            seen.append(s.query(Account).count())
        crm.close()
    assert seen == [1, 0, 1]


def test_a_change_that_is_told_of_while_the_directory_answers_holds_at_once(database: Database) -> None:
    """The answer of before was kept for a second, although the host had said that it is another."""
    crm = CRM(database.url, roles=[ROLE], directory=(staff := Moving("1")))
    crm.migrate()
    with crm.session(Actor.system("test", tenant="main")) as s:
        s.create(Account(name="a", owner="2"))
    crm.directory_changed("main")
    staff.meanwhile = lambda: crm.directory_changed("main")
    seen = []
    for _ in range(2):
        with crm.session(BOSS, write=False) as s:
            seen.append(s.query(Account).count())
    assert seen == [1, 0]
    crm.close()


@pytest.mark.parametrize("on", ["connection", "session"])
def test_a_reading_session_in_the_hosts_transaction_goes_by_the_directory_while_others_write(database: Database, on: str) -> None:
    """On SQLite it wrote down who reports to whom in a transaction that had read already: ``database_locked`` at once."""
    with a_host(database) as (crm, engine, other):
        others = Others(engine, other)
        with engine.connect() as connection, orm.Session(connection) as session:
            given = connection if on == "connection" else session
            with crm.session(BOSS, on=given, write=False) as s:
                assert s.query(Account).count() == 1
        assert others.writes > 1


def test_after_the_host_wrote_the_directory_is_written_in_its_transaction(database: Database) -> None:
    """Beside it, SQLite would wait for the host in vain."""
    with a_host(database) as (crm, engine, _):
        with engine.connect() as connection:
            connection.execute(text("UPDATE crm_account SET industry = 'toys'"))
            with crm.session(BOSS, on=connection, write=False) as s:
                assert [a.industry for a in s.query(Account).all()] == ["toys"]
            connection.rollback()
        with engine.connect() as connection, crm.session(BOSS, on=connection, write=False) as s:
            assert [a.industry for a in s.query(Account).all()] == [None]


class Others:
    """Somebody who commits after each statement by which a host's connection reads."""

    def __init__(self, engine: Engine, other: Engine) -> None:
        self.writes = 0
        self._other = other
        event.listen(engine, "after_cursor_execute", self._write)

    def _write(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT") and "directory" not in statement and self.writes < 5:
            self.writes += 1
            with self._other.begin() as connection:
                connection.execute(text("UPDATE crm_account SET name = name"))


@contextmanager
def a_host(database: Database) -> Iterator[tuple[CRM, Engine, Engine]]:
    """Give a CRM on a host's engine, with an account of the second user's, and another engine on the same database."""
    other, engine = create_engine(database.url), create_engine(database.url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA foreign_keys = ON"))
    first = CRM(database.url)
    first.migrate()
    with first.session(Actor.system("test", tenant="main")) as s:
        s.create(Account(name="a", owner="2"))
    first.close()
    yield CRM(engine, roles=[ROLE], directory=Staff("1")), engine, other
    engine.dispose()
    other.dispose()
