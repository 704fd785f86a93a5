"""Real failures of both databases, through each driver: what they are called, and whether to try again."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from crm_core.entities.customer import Account
from crm_core.entities.entity import Entity
from crm_core.entities.fields import Field, ListField, Ref, field
from crm_core.entities.sqltypes import IdType
from crm_core.entities.values import Email
from crm_core.errors import Conflict, CRMError, Detail, Invalid, LoadError, SchemaBehind, StatementFailed, Unavailable
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.storage import supported
from crm_core.storage.engine import Bound, open_engine
from crm_core.storage.failures import retryable, translate, unique_columns
from crm_core.storage.tables import Tables
from crm_core.testing.databases import Database
from tests.threads import at_once

ONE, TWO = (f"01890000-0000-7000-8000-00000000000{n}" for n in (1, 2))


class Member(Entity):
    code: Field[str] = field(unique=True, length=10)
    mentor: Field[Ref[Member] | None] = field(default=None)
    points: Field[int] = field(default=0)
    emails: ListField[Email] = field(factory=list)


CLUB = Plugin("club", version="1.0")
CLUB.entities(Member)
SYSTEM = {"tenant": "t", "version": 1, "created_by": "u", "updated_by": "u", "emails": [], "points": 0}


@pytest.fixture(scope="module")
def tables() -> Tables:
    registry = Registry([CLUB])
    return Tables(registry.entities, {}, registry.links)


@pytest.fixture
def bound(database: Database, tables: Tables) -> Iterator[Bound]:
    opened = open_engine(database.url)
    with opened.begin() as connection:
        for table in (tables.entities[Member], tables.lists[Member, "emails"]):
            table.create(connection)
    yield opened
    opened.dispose()


def member(tables: Tables, **values: Any) -> sa.Insert:
    now = sa.func.now() if values.pop("kind", "") == "postgresql" else sa.literal("2026-01-01T00:00:00.000000+00:00", sa.String())
    return sa.insert(tables.entities[Member]).values(SYSTEM | {"created_at": now, "updated_at": now} | values)


def failure(bound: Bound, *statements: Any) -> sa.exc.DBAPIError:
    """Run statements in one transaction and return what the last of them raised."""
    with bound.engine.connect() as connection:
        for statement in statements[:-1]:
            connection.execute(statement)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            connection.execute(statements[-1])
        return caught.value


# -- broken rules


def test_a_column_that_must_not_be_null_is_no_control_character(database: Database) -> None:
    opened = open_engine(database.url)
    with opened.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE filled (a integer)")
        connection.exec_driver_sql("INSERT INTO filled VALUES (1)")
    found = translate(failure(opened, sa.text("ALTER TABLE filled ADD COLUMN b integer NOT NULL")))
    assert found.code == ("database_failed" if opened.kind == "sqlite" else "required")
    opened.dispose()


def test_a_value_that_is_taken_names_entity_and_field(bound: Bound, tables: Tables) -> None:
    kind = bound.kind
    error = failure(bound, member(tables, kind=kind, id=ONE, code="x"), member(tables, kind=kind, id=TWO, code="x"))
    found = translate(error, tables=tables, entity=Member)
    assert isinstance(found, Conflict)
    assert (found.code, found.details) == ("not_unique", (Detail("club.member", "code", "not_unique"),))
    assert unique_columns(error, tables.metadata) == (tables.entities[Member], ("tenant", "code"))
    assert translate(error).code == "not_unique"


def test_a_value_that_is_taken_is_named_through_asynchronous_drivers_too(bound: Bound, database: Database, tables: Tables) -> None:
    async def main() -> CRMError:
        engine = create_async_engine(database.async_url)
        async with engine.connect() as connection:
            await connection.execute(member(tables, kind=bound.kind, id=ONE, code="x"))
            with pytest.raises(sa.exc.DBAPIError) as caught:
                await connection.execute(member(tables, kind=bound.kind, id=TWO, code="x"))
        await engine.dispose()
        return translate(caught.value, tables=tables, entity=Member)

    assert asyncio.run(main()).details == (Detail("club.member", "code", "not_unique"),)


def test_a_second_primary_entry_of_a_list_names_the_list(bound: Bound, tables: Tables) -> None:
    entry = sa.insert(tables.lists[Member, "emails"]).values(tenant="t", record=ONE, is_primary=True)
    error = failure(
        bound, member(tables, kind=bound.kind, id=ONE, code="x"), entry.values(position=0, value="a"), entry.values(position=1, value="b")
    )
    found = translate(error, tables=tables, entity=Member)
    assert isinstance(found, Invalid)
    assert found.details == (Detail("club.member", "emails", "two_primaries"),)


def test_a_reference_to_nothing_is_broken(bound: Bound, tables: Tables) -> None:
    found = translate(failure(bound, member(tables, kind=bound.kind, id=ONE, code="x", mentor=TWO)), tables=tables)
    assert isinstance(found, Conflict)
    assert found.code == "reference_broken"


def test_a_row_that_others_point_at_stays(bound: Bound, tables: Tables) -> None:
    kind, table = bound.kind, tables.entities[Member]
    mentor, pupil = member(tables, kind=kind, id=ONE, code="x"), member(tables, kind=kind, id=TWO, code="y", mentor=ONE)
    found = translate(failure(bound, mentor, pupil, sa.delete(table).where(table.c.id == ONE)))
    assert isinstance(found, Conflict)
    assert found.code in ("protected", "reference_broken")


def test_a_missing_value_is_required(bound: Bound, tables: Tables) -> None:
    found = translate(failure(bound, member(tables, kind=bound.kind, id=ONE, code=None)))
    assert isinstance(found, Invalid)
    assert found.code == "required"


def test_a_sum_beyond_64_bits_is_too_big(bound: Bound) -> None:
    sums = "SELECT sum(n) FROM (SELECT 9223372036854775807 AS n UNION ALL SELECT 9223372036854775806) AS x"
    if bound.kind == "postgresql":
        sums = sums.replace("sum(n)", "CAST(sum(n) AS bigint)")
    assert translate(failure(bound, sa.text(sums))).code == "too_big"


def test_an_integer_beyond_64_bits_is_too_big(bound: Bound, tables: Tables) -> None:
    with bound.engine.connect() as connection, pytest.raises((OverflowError, sa.exc.DBAPIError)) as caught:
        connection.execute(member(tables, kind=bound.kind, id=ONE, code="x", points=2**70))
    assert translate(caught.value).code == "too_big"


def test_a_conversion_without_a_rate_says_which(bound: Bound) -> None:
    raised = {
        "sqlite": "SELECT json_extract('{}', 'missing_rate:EUR:USD:2026-11-22')",
        "postgresql": "SELECT CAST('missing_rate:EUR:USD:2026-11-22' AS numeric)",
    }[bound.kind]
    with bound.engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
        connection.exec_driver_sql(raised)
    found = translate(caught.value)
    assert (found.code, found.params) == ("missing_rate", {"base": "EUR", "quote": "USD", "day": "2026-11-22"})


def test_an_error_of_ours_inside_a_statement_comes_out_as_it_is(bound: Bound) -> None:
    with bound.engine.connect() as connection, pytest.raises(sa.exc.StatementError) as caught:
        connection.execute(sa.select(sa.literal("no id", IdType())))
    found = translate(caught.value)
    assert isinstance(found, Invalid)
    assert found.code == "bad_id"


def test_a_table_that_is_not_there_is_a_schema_behind(bound: Bound, tables: Tables) -> None:
    found = translate(failure(bound, sa.select(tables.entities[Account].c.id)))
    assert isinstance(found, SchemaBehind)
    assert found.code == "schema_behind"


def test_a_column_that_is_not_there_is_a_schema_behind(bound: Bound) -> None:
    assert translate(failure(bound, sa.text("SELECT nowhere FROM crm_club_member"))).code == "schema_behind"


# -- PostgreSQL alone


@pytest.mark.parametrize(
    ("sql", "code", "again"),
    [
        ("SELECT CAST('many' AS int)", "bad_value", False),
        ("SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)", "statement_cancelled", True),
        ("SET LOCAL transaction_read_only = on; CREATE TABLE t (n int)", "database_read_only", False),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "connection_lost", True),
        ("SELECT * FROM nowhere.t", "schema_behind", False),
        ("SET LOCAL ROLE pg_monitor; CREATE TABLE public.t (n int)", "database_rights", False),
    ],
)
def test_what_postgresql_says_has_a_name(postgres: Database, sql: str, code: str, again: bool) -> None:
    with postgres.engine().connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
        connection.exec_driver_sql(sql)
    assert (translate(caught.value).code, retryable(caught.value)) == (code, again)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("value", "code"), [("a\x00b", "control_character"), ("much too long", "too_long")])
def test_text_that_postgresql_cannot_keep_is_invalid(postgres: Database, value: str, code: str, asynchronous: bool) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("name", sa.String(5)))

    def work(connection: sa.Connection) -> CRMError:
        table.create(connection)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            connection.execute(sa.insert(table).values(name=value))
        return translate(caught.value)

    async def main() -> CRMError:
        engine = create_async_engine(postgres.async_url)
        async with engine.connect() as connection:
            found = await connection.run_sync(work)
        await engine.dispose()
        return found

    if asynchronous:
        found = asyncio.run(main())
    else:
        with postgres.engine().connect() as connection:
            found = work(connection)
    assert isinstance(found, Invalid)
    assert found.code == code


def test_a_deadlock_can_be_retried(postgres: Database) -> None:
    bound = open_engine(postgres.url)
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 0), (2, 0)")
    errors: list[CRMError] = []
    both = threading.Barrier(2)

    def work(order: tuple[int, int]) -> None:
        first, second = order
        try:
            with bound.begin() as connection:
                connection.exec_driver_sql("SET LOCAL deadlock_timeout = '50ms'")
                connection.exec_driver_sql(f"UPDATE t SET n = n + 1 WHERE id = {first}")
                both.wait()
                connection.exec_driver_sql(f"UPDATE t SET n = n + 1 WHERE id = {second}")
        except CRMError as e:
            errors.append(e)

    at_once(work, [(1, 2), (2, 1)])
    assert [(e.code, retryable(e)) for e in errors] == [("deadlock", True)]
    bound.dispose()


def test_a_serialization_failure_can_be_retried(postgres: Database) -> None:
    bound = open_engine(postgres.url)
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n int)")
        connection.exec_driver_sql("INSERT INTO t VALUES (0)")
    with pytest.raises(Unavailable) as error, bound.begin() as one:
        one.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        one.exec_driver_sql("SELECT * FROM t")
        with bound.begin() as two:
            two.exec_driver_sql("UPDATE t SET n = 1")
        one.exec_driver_sql("UPDATE t SET n = 2")
    assert (error.value.code, retryable(error.value)) == ("serialization_failure", True)
    bound.dispose()


def test_a_server_that_is_not_there_cannot_be_opened() -> None:
    with pytest.raises(Unavailable) as error, open_engine("postgresql+psycopg://u@127.0.0.1:1/x").begin():
        pass
    assert (error.value.code, retryable(error.value)) == ("cannot_open", True)


def test_a_database_that_does_not_exist_cannot_be_opened(postgres: Database) -> None:
    url = sa.make_url(postgres.url).set(database="nothing").render_as_string()
    with pytest.raises(Unavailable) as error, open_engine(url).begin():
        pass
    assert error.value.code == "cannot_open"


def test_a_server_that_is_too_old_is_refused(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supported, "OLDEST", {"sqlite": (3, 35), "postgresql": (99,)})
    bound = open_engine(postgres.url)
    with pytest.raises(LoadError) as error, bound.begin():
        pass
    assert error.value.code == "database_too_old"
    bound.dispose()


# -- SQLite alone, and the pool


def test_a_snapshot_that_is_too_old_to_write_can_be_retried(tmp_path: Path) -> None:
    one, two = (sqlite3.connect(tmp_path / "x.db", isolation_level=None, timeout=0.1) for _ in range(2))
    one.execute("PRAGMA journal_mode = WAL")
    one.execute("CREATE TABLE t (n integer)")
    one.execute("BEGIN")
    one.execute("SELECT * FROM t").fetchall()
    two.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        one.execute("INSERT INTO t VALUES (2)")
    assert caught.value.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
    assert (translate(caught.value).code, retryable(caught.value)) == ("database_locked", True)
    one.close()
    two.close()


def test_a_pool_that_is_used_up_can_be_retried(database: Database) -> None:
    bound = open_engine(database.engine(pool_size=1, max_overflow=0, pool_timeout=0.05))
    with bound.begin(write=False), pytest.raises(Unavailable) as error, bound.begin(write=False):
        pass
    assert (error.value.code, retryable(error.value)) == ("pool_exhausted", True)


def test_errors_of_the_hosts_own_are_not_ours_to_translate(bound: Bound) -> None:
    with pytest.raises(ZeroDivisionError), bound.begin():
        raise ZeroDivisionError
    assert not retryable(ZeroDivisionError())
    assert not retryable(Invalid())


def test_an_error_without_a_name_says_what_the_database_said(bound: Bound) -> None:
    found = translate(failure(bound, sa.text("SELECT FROM WHERE")))
    assert isinstance(found, StatementFailed)
    assert (found.code, found.status, retryable(found)) == ("database_failed", 500, False)  # who waits and tries again waits for nothing
    assert "syntax error" in found.message()
