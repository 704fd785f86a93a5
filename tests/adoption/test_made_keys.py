"""An insert whose keys a column's default makes is observed; where nobody can tell the keys, the log says so, and `fill` finds the rows."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import define
from sqlalchemy import Column, MetaData, String, Table, Uuid, delete, event, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, registry, sessionmaker

from crm_core import CRM, Account, Actor
from crm_core.adoption import Adopted
from crm_core.testing.databases import Database
from tests.adoption.shop import an_engine

HOST = Actor.system("shop", tenant="main")
MAKES = {"sqlite": "(lower(hex(randomblob(16))))", "postgresql": "gen_random_uuid()"}


@define
class World:
    """A host's table of firms, the class that is mapped to it, and a CRM for which they are accounts."""

    crm: CRM
    db: Callable[..., Any]
    firms: Table
    firm: Any

    def journalled(self) -> dict[str, list[tuple[str, int]]]:
        """Return what the journal has of each account that there is: operations and versions, by name."""
        with self.crm.session(HOST, write=False) as s:
            accounts = s.query(Account).all()
            return {a.name: [(e.verb, e.version) for e in s.history(a)] for a in accounts}


def firms_with(key: Column[Any]) -> tuple[Table, Any]:
    metadata = MetaData()
    table = Table("firms", metadata, key, Column("title", String(50), unique=True))
    firm = type("Firm", (), {})
    registry().map_imperatively(firm, table)
    return table, firm


@contextmanager
def world(database: Database, key: Column[Any]) -> Iterator[World]:
    engine = an_engine(database.url)
    table, firm = firms_with(key)
    table.metadata.create_all(engine)
    crm = CRM(engine, adopt={Account: Adopted(table, {"name": "title"})})
    crm.migrate()
    maker = sessionmaker(engine)
    crm.adoption.observe(maker)
    try:
        yield World(crm, maker.begin, table, firm)
    finally:
        crm.close()
        engine.dispose()


def in_python(**options: Any) -> Column[Any]:
    return Column(
        "id", Uuid(**options), primary_key=True, default=uuid.uuid4 if options.get("as_uuid", True) else lambda: str(uuid.uuid4())
    )


def by_the_database(database: Database, how: str = "server_default") -> Column[Any]:
    made: dict[str, Any] = {how: text(MAKES[database.kind])}
    return Column("id", Uuid(), primary_key=True, **made)


def upsert(db: Session, table: Table) -> Any:
    return (postgresql_insert if db.get_bind().dialect.name == "postgresql" else sqlite_insert)(table)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.__dict__.get("crm_event") == "adopted_keys_unknown"]


CREATED = [("created", 1)]


@pytest.mark.parametrize("options", [{}, {"as_uuid": False}, {"native_uuid": False}], ids=["uuid", "text", "not native"])
def test_keys_that_a_default_makes_in_python_are_known_however_the_rows_are_inserted(database: Database, options: dict[str, Any]) -> None:
    with world(database, in_python(**options)) as w:
        with w.db() as db:
            db.execute(insert(w.firms).values(title="value"))
            db.execute(insert(w.firms), {"title": "parameter"})
            db.execute(insert(w.firms), [{"title": f"many {n}"} for n in range(1200)])
            db.execute(insert(w.firms).values([{"title": f"several {n}"} for n in range(3)]))
            assert db.execute(insert(w.firms).returning(w.firms.c.title), [{"title": "returned"}]).all() == [("returned",)]
            db.execute(insert(w.firm), [{"title": "mapped 0"}, {"title": "mapped 1"}])
            assert db.execute(insert(w.firm).returning(w.firm), [{"title": "object"}]).scalars().one().title == "object"
            db.execute(insert(w.firms).from_select(["title"], select(w.firms.c.title + "s").where(w.firms.c.title == "value")))
        known = w.journalled()
        assert len(known) == 1210
        assert {name: told for name, told in known.items() if told != CREATED} == {}
        assert w.crm.adoption.fill() == 0


@pytest.mark.parametrize("how", ["server_default", "default"])
def test_keys_that_the_database_makes_are_returned_where_the_statement_returns_nothing_else(
    database: Database, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with world(database, by_the_database(database, how)) as w:
        with w.db() as db:
            db.execute(insert(w.firms).values(title="value"))
            db.execute(insert(w.firms), [{"title": f"many {n}"} for n in range(1200)])
            db.execute(insert(w.firm), [{"title": "mapped 0"}, {"title": "mapped 1"}])
        known = w.journalled()
        assert len(known) == 1203
        assert {name: told for name, told in known.items() if told != CREATED} == {}
    assert warned(caplog) == []


def test_the_log_tells_of_rows_whose_keys_nobody_knows_and_they_are_taken_up_later(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with world(database, by_the_database(database)) as w:
        with w.db() as db:
            db.execute(insert(w.firms).values([{"title": "several 0"}, {"title": "several 1"}]))
            assert db.execute(insert(w.firms).returning(w.firms.c.title), [{"title": "returned"}]).all() == [("returned",)]
            db.execute(insert(w.firms).from_select(["title"], select(w.firms.c.title + "!")))
        assert [text.partition(":")[0] for text in warned(caplog)] == ["firms got rows by an INSERT that does not tell their keys"] * 3
        assert set(w.journalled()) == {f"{name}{mark}" for name in ("several 0", "several 1", "returned") for mark in ("", "!")}
        assert w.crm.adoption.fill() == 6


def test_a_row_that_was_there_is_not_told_as_new_where_a_default_makes_its_key_again(database: Database) -> None:
    def named(context: Any) -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_DNS, context.get_current_parameters()["title"])

    with world(database, Column("id", Uuid(), primary_key=True, default=named)) as w:
        with w.db() as db:
            db.execute(insert(w.firms), [{"title": "there"}])
        with w.db() as db:
            statement = upsert(db, w.firms)
            db.execute(statement.on_conflict_do_nothing(), [{"title": "there"}, {"title": "new"}])
            changed = statement.on_conflict_do_update(index_elements=["id"], set_={"title": statement.excluded.title + "!"})
            db.execute(changed, [{"title": "there"}, {"title": "newer"}])
        assert w.journalled() == {"there!": CREATED, "new": CREATED, "newer": CREATED}


def test_rows_that_are_not_inserted_after_all_are_not_told(database: Database) -> None:
    with world(database, in_python()) as w:
        with w.db() as db:
            db.execute(upsert(db, w.firms).on_conflict_do_nothing(), [{"title": "one"}, {"title": "one"}, {"title": "two"}])
        with pytest.raises(ZeroDivisionError), w.db() as db:
            db.execute(insert(w.firms), [{"title": "lost"}])
            raise ZeroDivisionError
        assert w.journalled() == {"one": CREATED, "two": CREATED}


def test_new_keys_are_looked_for_in_batches_and_not_one_by_one(database: Database) -> None:
    with world(database, in_python()) as w:
        counts = []
        for many in (10, 400):
            seen: list[str] = []
            with w.db() as db:
                event.listen(db.connection(), "before_cursor_execute", lambda c, cursor, text, *_, seen=seen: seen.append(text))
                db.execute(insert(w.firms), [{"title": f"{many} {n}"} for n in range(many)])
            counts.append(sum(text.lstrip().startswith("SELECT") for text in seen))
        assert counts[1] <= 2 * counts[0]


def test_what_a_statement_returns_is_the_hosts_whatever_is_journalled_meanwhile(database: Database) -> None:
    with world(database, in_python()) as w, w.db() as db:
        made = db.execute(insert(w.firms).returning(w.firms.c.title), [{"title": f"row {n}"} for n in range(3)])
        one = db.execute(insert(w.firms).values(title="row 3").returning(w.firms.c.title))
        changed = db.execute(update(w.firms).values(title=w.firms.c.title + "!").returning(w.firms.c.title))
        gone = db.execute(delete(w.firm).where(w.firms.c.title == "row 0!").returning(w.firms.c.title))
        assert (made.scalars().all(), one.scalar_one()) == (["row 0", "row 1", "row 2"], "row 3")
        assert (sorted(changed.scalars()), gone.scalars().all()) == ([f"row {n}!" for n in range(4)], ["row 0!"])
        db.commit()
        told = [("created", 1), ("updated", 2)]
        assert {name: sorted(entries) for name, entries in w.journalled().items()} == {f"row {n}!": told for n in (1, 2, 3)}


def test_an_asynchronous_session_is_observed_as_well(database: Database) -> None:
    async def host() -> list[tuple[str, int]]:
        engine = create_async_engine(database.async_url)
        table, _ = firms_with(in_python())
        maker = async_sessionmaker(engine, sync_session_class=sessionmaker().class_)
        crm = CRM(engine, adopt={Account: Adopted(table, {"name": "title"})})
        async with engine.begin() as connection:
            await connection.run_sync(table.metadata.create_all)
        await crm.run(lambda c: c.migrate())
        crm.adoption.observe(maker.kw["sync_session_class"])
        async with maker.begin() as db:
            await db.execute(insert(table), [{"title": f"async {n}"} for n in range(3)])
        async with crm.asession(HOST) as s:
            found = await s.run(lambda s: [(a.name, len(s.history(a))) for a in s.query(Account).order_by(Account.name).all()])
        await crm.run(lambda c: c.close())
        await engine.dispose()
        return found

    assert asyncio.run(host()) == [(f"async {n}", 1) for n in range(3)]
