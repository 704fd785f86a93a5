"""A database that is read-only, locked, full, strange or newer than the code, met through a session: typed, named, and as it was."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core import CRM, Account, Actor, CRMError, ReadOnly, SchemaBehind, Unavailable
from crm_core.storage import sqlite
from crm_core.storage.failures import located
from crm_core.testing.state import state_hash
from tests.conftest import MakeCRM

SYSTEM = Actor.system("test", tenant="main")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 50)
    monkeypatch.setitem(sqlite._SETTINGS, "busy_timeout", 50)


@pytest.fixture
def crm(make_crm: MakeCRM) -> CRM:
    made: CRM = make_crm()
    with made.session(SYSTEM) as s:
        s.create(Account(name="Acme"))
    return made


def name_of(crm: CRM) -> str:
    url = crm.bound.engine.url
    return Path(str(url.database)).name if crm.bound.kind == "sqlite" else f"{url.query['host']}/{url.database}"


def with_options(crm: CRM, **options: object) -> CRM:
    """Open a CRM on the same PostgreSQL database with other settings of its connections."""
    given = " ".join(f"-c {name}={value}" for name, value in options.items())
    return CRM(crm.bound.engine.url.update_query_dict({"options": given}).render_as_string(hide_password=False))


def refuses(crm: CRM, kind: type[CRMError], *codes: str) -> None:
    """Demand that a write fails with one of these errors, which names the database and says what to do in both languages."""
    with pytest.raises(kind) as raised, crm.session(SYSTEM) as s:
        s.create(Account(name="Bolt", industry="x" * 90))
    assert raised.value.code in codes
    for locale in ("en", "zh"):
        said = raised.value.message(locale)
        assert name_of(crm) in said
        assert "?" not in said
        assert len([part for part in said.replace("。", ".").split(".") if part.strip()]) >= 2, "what was wrong, and what to do"


def reads(crm: CRM) -> list[str]:
    with crm.session(SYSTEM, write=False) as s:
        return [a.name for a in s.query(Account).all()]


def test_a_read_only_database_refuses_writes_by_name_and_is_read(crm: CRM) -> None:
    before = state_hash(crm)
    if crm.bound.kind == "sqlite":
        closed = CRM(f"sqlite:///file:{crm.bound.engine.url.database}?mode=ro&uri=true")
    else:
        closed = with_options(crm, default_transaction_read_only="on")
    refuses(closed, ReadOnly, "database_read_only")
    assert reads(closed) == ["Acme"]
    closed.close()
    assert state_hash(crm) == before


def test_a_locked_database_refuses_writes_by_name_and_is_read(crm: CRM) -> None:
    before = state_hash(crm)
    if crm.bound.kind == "sqlite":
        waits = CRM(crm.url)
        holder: Any = sqlite3.connect(str(crm.bound.engine.url.database), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
    else:
        waits = with_options(crm, lock_timeout=50)
        engine = sa.create_engine(crm.url)
        holder = engine.connect()
        holder.exec_driver_sql("LOCK TABLE crm_account IN EXCLUSIVE MODE")
    refuses(waits, Unavailable, "database_locked")
    assert reads(waits) == ["Acme"]
    holder.rollback()
    holder.close()
    if crm.bound.kind == "postgresql":
        engine.dispose()
    assert state_hash(crm) == before
    with waits.session(SYSTEM) as s:
        s.create(Account(name="Cord"))
    waits.close()
    assert sorted(reads(crm)) == ["Acme", "Cord"]


def test_a_full_sqlite_database_says_so_and_keeps_what_was_there(sqlite_databases: Any) -> None:
    """On PostgreSQL a full disk needs a file system of its own; what its error becomes is tested in ``storage``."""
    made = sqlite_databases.create()
    crm = CRM(made.url)
    crm.migrate()
    with crm.session(SYSTEM) as s:
        s.create(Account(name="Acme"))
    before = state_hash(crm)

    def fill(dbapi: Any, *_: Any) -> None:
        pages = dbapi.execute("PRAGMA page_count").fetchone()[0]
        dbapi.execute(f"PRAGMA max_page_count = {pages}")

    crm.bound.dispose()
    sa.event.listen(crm.bound._given, "connect", fill)
    with pytest.raises(Unavailable) as raised, crm.session(SYSTEM) as s:
        s.create_many([Account(name=f"Bolt {n}", industry="x" * 90) for n in range(500)])
    assert raised.value.code == "disk_full"
    assert Path(str(crm.bound.engine.url.database)).name in raised.value.message()
    assert reads(crm) == ["Acme"]
    assert state_hash(crm) == before
    crm.close()
    sqlite_databases.drop(made)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "diary.db"
    file.write_text("Dear diary, " * 1000)
    crm = CRM(f"sqlite:///{file}")
    with pytest.raises(Unavailable) as raised, crm.session(SYSTEM) as s:
        s.create(Account(name="Acme"))
    assert raised.value.code == "not_a_database"
    assert "diary.db" in raised.value.message()
    assert file.read_text().startswith("Dear diary")
    crm.close()


def test_a_database_that_is_not_there_is_named_without_user_and_password() -> None:
    crm = CRM("postgresql+psycopg://boss:secret@127.0.0.1:1/shop")
    with pytest.raises(Unavailable) as raised, crm.session(SYSTEM) as s:
        s.create(Account(name="Acme"))
    assert raised.value.code == "cannot_open"
    assert "127.0.0.1/shop" in raised.value.message()
    assert "secret" not in str(raised.value.problem())
    assert "boss" not in str(raised.value.problem())
    crm.close()


def test_an_error_that_is_not_about_the_database_names_none() -> None:
    assert located(Unavailable("deadlock"), sa.make_url("sqlite:///shop.db")).params == {}
    assert located(Unavailable("disk_full"), sa.make_url("sqlite://")).params == {"database": ":memory:"}


def test_a_database_that_later_code_made_is_refused_at_the_first_session(crm: CRM) -> None:
    with crm.bound.begin() as connection:
        connection.exec_driver_sql("UPDATE crm_version SET revision = '2999.1' WHERE plugin = 'core'")
    before = state_hash(crm)
    older = CRM(crm.url)
    for write in (True, False):
        with pytest.raises(SchemaBehind) as raised, older.session(SYSTEM, write=write) as s:
            s.create(Account(name="into newer")) if write else s.query(Account).all()
        assert raised.value.code == "schema_newer"
        assert raised.value.params["found"] == "2999.1"
    older.close()
    assert state_hash(crm) == before
    with crm.bound.begin() as connection:
        connection.exec_driver_sql("UPDATE crm_version SET revision = 'nonsense' WHERE plugin = 'core'")
    other = CRM(crm.url)
    with pytest.raises(SchemaBehind), other.session(SYSTEM) as s:
        s.create(Account(name="into newer"))
    other.close()


def test_the_revisions_are_compared_at_the_first_session_alone(crm: CRM) -> None:
    fresh = CRM(crm.url)
    counts = []
    for _ in range(3):
        said: list[str] = []

        def note(*given: Any, said: list[str] = said) -> None:
            said.append(given[2])

        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        with fresh.session(SYSTEM, write=False) as s:
            s.query(Account).all()
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
        counts.append(sum("crm_version" in sql for sql in said))
        print(f"{crm.bound.kind}: {len(said)} statements")
    fresh.close()
    assert counts[0] > 0
    assert counts[1:] == [0, 0]
