"""A later migration of the host's makes its table anew: the CRM tells what is gone, `migrate` brings it back, and history goes on."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, DateTime, MetaData, String, Table, inspect, text
from sqlalchemy.exc import DBAPIError

from crm_core import CRM, Account, Contact, Invalid, LoadError, Money, SchemaBehind
from crm_core.doctor import examine
from crm_core.testing.databases import Database, PostgresDatabases
from crm_sales.api import Opportunity
from tests.adoption.firms import adopting, firms
from tests.adoption.shop import HOST

WHEN = datetime(2020, 5, 1, 12, tzinfo=UTC)


def remake(crm: CRM) -> None:
    """Make the table anew with the host's own columns alone, as Django does on SQLite and a DROP ... CASCADE on PostgreSQL."""
    engine = crm.bound.engine
    with engine.connect() as c:
        if engine.dialect.name == "sqlite":
            c.exec_driver_sql("PRAGMA foreign_keys = OFF")
            c.exec_driver_sql(
                "CREATE TABLE new (id INTEGER PRIMARY KEY AUTOINCREMENT, title VARCHAR(50) NOT NULL, fax VARCHAR(9) DEFAULT '')"
            )
        else:
            c.exec_driver_sql("CREATE TABLE new (id SERIAL PRIMARY KEY, title VARCHAR(50) NOT NULL, fax VARCHAR(9) DEFAULT '')")
        c.exec_driver_sql("INSERT INTO new (id, title) SELECT id, title FROM firms")
        c.exec_driver_sql(f"DROP TABLE firms{' CASCADE' * (engine.dialect.name == 'postgresql')}")
        c.exec_driver_sql("ALTER TABLE new RENAME TO firms")
        if engine.dialect.name == "postgresql":
            c.exec_driver_sql("SELECT setval(pg_get_serial_sequence('firms', 'id'), 100)")
        c.commit()
    engine.dispose()


def test_what_a_remade_table_lost_is_told_by_all_who_look_and_made_again_by_migrate(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with adopting(database, firms()) as crm:
        before = {c["name"] for c in inspect(crm.bound.engine).get_columns("firms")}
        keys = {k["constrained_columns"][0] for k in inspect(crm.bound.engine).get_foreign_keys("crm_sales_opportunity")}
        with crm.session(HOST) as s:
            made = s.create(Account(name="Acme", industry="Chairs"))
            s.update(Account, made.id, {"name": "Acme GmbH"})
            s.create(Contact(name="Ada", account=made.ref))
            s.create(Opportunity(name="Deal", account=made.ref, amount=Money("1", "EUR")))
        remake(crm)
        lines = crm.migrations.plan()
        assert "make again what a later migration took away: column firms.crm_industry" in lines
        for look in (crm.migrations.check, lambda: list(crm.adoption.check())):
            with pytest.raises(SchemaBehind) as e:
                look()
            assert e.value.code == "adopted_columns_gone"
            assert "firms" in e.value.params["tables"]
            assert "crm_id" in e.value.params["names"]
        assert [(f.level, f.code) for f in examine(crm) if f.check == "schema"] == [("error", "adopted_columns_gone")]
        with caplog.at_level(logging.WARNING):
            crm.migrate()
        assert [vars(r)["crm_facts"]["made"] for r in caplog.records if vars(r).get("crm_event") == "adopted_mended"] == [
            [line.partition(": ")[2] for line in lines]
        ]
        assert crm.migrations.plan() == []
        crm.migrations.check()
        assert {c["name"] for c in inspect(crm.bound.engine).get_columns("firms")} == {*before, "fax"}
        assert {k["constrained_columns"][0] for k in inspect(crm.bound.engine).get_foreign_keys("crm_sales_opportunity")} == keys
        with crm.session(HOST) as s:
            [account] = s.query(Account).all()
            assert (account.id, account.name, account.industry) == (made.id, "Acme GmbH", None)
            assert s.query(Contact).one().account == s.query(Opportunity).one().account == made.ref
            # Its history goes on where it was: no version comes twice.
            assert s.update(Account, made.id, {"name": "Acme AG"}).version == 4
            s.create(Contact(name="Grace", account=s.create(Account(name="New")).ref))


def test_a_table_that_came_again_without_its_rows_is_mended_although_deals_point_at_nothing(database: Database) -> None:
    with adopting(database, firms()) as crm:
        with crm.session(HOST) as s:
            account = s.create(Account(name="Acme"))
            s.create(Opportunity(name="Deal", account=account.ref, amount=Money("1", "EUR")))
        with crm.bound.engine.connect() as c:
            if crm.bound.kind == "sqlite":
                c.exec_driver_sql("PRAGMA foreign_keys = OFF")
            c.exec_driver_sql(f"DROP TABLE firms{' CASCADE' * (crm.bound.kind == 'postgresql')}")
            c.commit()
        crm.bound.engine.dispose()
        for look in (crm.migrations.check, crm.migrations.plan, crm.migrate):
            with pytest.raises(SchemaBehind) as e:
                look()
            assert e.value.code == "adopted_table_missing"
        crm.tables.adopted[Account].table.create(crm.bound.engine)
        crm.migrate()
        with crm.session(HOST) as s:
            assert s.query(Account).all() == []
            assert s.query(Opportunity).count() == 1
            new = s.create(Account(name="New"))
            s.create(Opportunity(name="Another", account=new.ref, amount=Money("1", "EUR")))


def test_an_adopted_column_that_is_gone_is_named(database: Database) -> None:
    with adopting(database, firms()) as crm:
        with crm.bound.engine.begin() as connection:
            connection.execute(text("ALTER TABLE firms RENAME COLUMN title TO heading"))
        with pytest.raises(SchemaBehind) as e:
            crm.migrations.check()
        assert (e.value.code, e.value.params) == ("adopted_columns_missing", {"entity": "account", "table": "firms", "columns": ["title"]})
        assert [(f.level, f.code) for f in examine(crm) if f.check == "schema"] == [("error", "adopted_columns_missing")]


def test_alembics_batch_mode_keeps_what_the_crm_wrote_where_it_copies_all_but_the_computed_column(
    sqlite_databases: Any,
) -> None:
    """docs/how-to/adopt.md shows it so."""
    with adopting(sqlite_databases.create(), firms()) as crm:
        with crm.session(HOST) as s:
            account = s.create(Account(name="Acme", industry="Chairs"))
            s.create(Contact(name="Ada", account=account.ref))
        with crm.bound.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.commit()
            with connection.begin():
                op = Operations(MigrationContext.configure(connection))
                kept = [c["name"] for c in inspect(connection).get_columns("firms") if c["name"] != "crm_id"]
                whole = Table("firms", MetaData(), autoload_with=connection, include_columns=kept, sqlite_autoincrement=True)
                with op.batch_alter_table("firms", copy_from=whole) as batch:
                    batch.alter_column("title", type_=String(60))
        crm.bound.engine.dispose()
        assert next(line.rpartition(" ")[2] for line in crm.migrations.plan()) == "firms.crm_id"
        crm.migrate()
        crm.migrations.check()
        with crm.session(HOST) as s:
            [account] = s.query(Account).all()
            assert (account.industry, account.version) == ("Chairs", 1)
            assert s.query(Contact).one().account == account.ref


def test_the_keys_type_can_be_changed_once_the_computed_column_is_let_go(postgres_databases: PostgresDatabases) -> None:
    with adopting(postgres_databases.create(), firms()) as crm:
        with crm.session(HOST) as s:
            account = s.create(Account(name="Acme", industry="Chairs"))
            s.create(Contact(name="Ada", account=account.ref))
        with crm.bound.engine.begin() as connection:
            connection.execute(text("ALTER TABLE firms DROP COLUMN crm_id CASCADE"))
            connection.execute(text("ALTER TABLE firms ALTER COLUMN id TYPE bigint"))
        crm.migrate()
        crm.migrations.check()
        with crm.session(HOST) as s:
            assert s.query(Account).one().industry == "Chairs"
            assert s.query(Contact).one().account == account.ref
        with pytest.raises(DBAPIError), crm.bound.engine.begin() as connection:  # and nothing points into the void
            connection.execute(text("DELETE FROM crm_sales_opportunity"))
            connection.execute(text("UPDATE crm_contact SET account = '00000000-0000-8000-8000-000000000000'"))


def test_a_row_that_nobody_changed_was_changed_last_when_it_was_made(database: Database) -> None:
    old_rows = {"firms": [{"title": "Old", "made": WHEN.replace(tzinfo=None)}]}
    with adopting(database, firms(Column("made", DateTime, nullable=False)), old_rows, created_at="made") as crm:
        with crm.session(HOST) as s:
            [old] = s.query(Account).all()
            assert old.updated_at == old.created_at == WHEN
            assert s.update(Account, old.id, {"industry": "Chairs"}).updated_at > old.created_at
            assert crm.adoption.ref(Account, 1) == old.ref
            assert s.create(Contact(name="Ada", account=crm.adoption.ref(Account, 1))).account == old.ref
            with pytest.raises(Invalid) as e:
                s.create(Contact(name="Ada", account=crm.adoption.ref(Account, 2)))
            assert e.value.details[0].code == "bad_ref"
        with pytest.raises(LoadError) as not_adopted:
            crm.adoption.ref(Contact, 1)
        assert not_adopted.value.code == "adopted_not"
