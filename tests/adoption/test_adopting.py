"""What adopting a table asks for and does: definitions that fit, columns that are added and taken away, nothing of the host's changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import BigInteger, Column, Date, Engine, Integer, MetaData, Numeric, String, Table, Uuid, inspect, text

import crm_sales
from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    Created,
    Entity,
    Field,
    FileKeys,
    LoadError,
    NotFound,
    Plugin,
    Refused,
    SchemaBehind,
    field,
)
from crm_core.adoption import Adopted
from crm_core.doctor import examine
from crm_core.errors import BackupRefused, WrongArgument
from crm_core.testing.databases import Database, PostgresDatabases
from crm_sales.api import Opportunity
from tests.adoption.shop import CUSTOMER, HOST, PERSON, Base, Customer, Person, an_engine

ADOPT = {Account: Adopted(Customer, CUSTOMER), Contact: Adopted(Person, PERSON)}


@contextmanager
def opened(database: Database, **options: Any) -> Iterator[CRM]:
    engine = an_engine(database.url)
    Base.metadata.create_all(engine)
    crm = CRM(engine, **{"adopt": ADOPT, **options})
    yield crm
    crm.close()
    engine.dispose()


def columns(engine: Engine, table: str) -> dict[str, str]:
    return {c["name"]: f"{c['type']} {c['nullable']} {c['default']}" for c in inspect(engine).get_columns(table)}


def engine_of(crm: CRM) -> Engine:
    return crm.bound.engine


def a_table(*extra: Column[Any], key: Column[Any] | None = None) -> Table:
    first = Column("id", Integer, primary_key=True) if key is None else key
    return Table("firms", MetaData(), first, Column("title", String(100)), *extra)


@pytest.mark.parametrize(
    ("adopted", "code"),
    [
        (lambda: Adopted(a_table()), "adopted_field_missing"),
        (lambda: Adopted(a_table(), {"name": "heading"}), "adopted_column_unknown"),
        (lambda: Adopted(a_table(), {"name": "title", "colour": "title"}), "adopted_field_unknown"),
        (lambda: Adopted(a_table(), {"name": "title", "version": "id"}), "adopted_field_unknown"),
        (lambda: Adopted(a_table(Column("day", Date)), {"name": "day"}), "adopted_column_type"),
        (lambda: Adopted(a_table(Column("sum", Numeric)), {"name": "title", "parent": "sum"}), "adopted_column_type"),
        (lambda: Adopted(a_table(Column("code", String(5), nullable=False)), {"name": "title"}), "adopted_column_unfilled"),
        (lambda: Adopted(a_table(key=Column("id", String(9), primary_key=True)), {"name": "title"}), "adopted_key"),
        (lambda: Adopted(a_table(), {"name": "title"}, fill={"coutry": "DE"}), "adopted_fill_unknown"),
        (lambda: Adopted("firms", {"name": "title"}), "adopted_no_table"),
    ],
)
def test_what_does_not_fit_is_a_load_error_that_says_what(adopted: Any, code: str) -> None:
    with pytest.raises(LoadError) as e:
        CRM("sqlite://", adopt={Account: adopted()})
    assert e.value.code == code


def test_an_entity_that_no_plugin_declares_cannot_be_adopted() -> None:
    with pytest.raises(LoadError) as e:
        CRM("sqlite://", adopt={Opportunity: Adopted(a_table(), {"name": "title"})})
    assert e.value.code == "entity_not_loaded"


def test_the_plan_says_what_is_added_and_up_and_down_leave_the_hosts_table_as_it_was(database: Database) -> None:
    with opened(database, plugins=[crm_sales.plugin]) as crm:
        engine = engine_of(crm)
        before = {name: columns(engine, name) for name in ("customers", "people")}
        assert any("adopt table customers" in line for line in crm.migrations.plan())
        crm.migrate()
        crm.migrations.check()
        assert crm.migrations.plan() == []
        after = {name: columns(engine, name) for name in before}
        for name, was in before.items():
            assert was.items() <= after[name].items()
            assert all(added.startswith("crm_") for added in after[name].keys() - was.keys())
        assert "crm_name" not in after["customers"]
        for plugin in ("sales", "core"):
            crm.migrations.downgrade(None, plugin)
        assert {name: columns(engine, name) for name in before} == before
        assert [i["name"] for i in inspect(engine).get_indexes("customers")] == []
        crm.migrate()


def test_the_hosts_own_autogenerate_sees_its_table_and_nothing_of_ours(database: Database) -> None:
    with opened(database) as crm:
        crm.migrate()
        wider = MetaData()
        for table in Base.metadata.sorted_tables:
            table.to_metadata(wider)
        wider.tables["customers"].append_column(Column("fax", String(20)))
        with engine_of(crm).connect() as connection:
            options = {"include_name": crm.migrations.include_name}
            assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
            [(what, _, table, column)] = compare_metadata(MigrationContext.configure(connection, opts=options), wider)
    assert (what, table, column.name) == ("add_column", "customers", "fax")


def test_nothing_sealed_is_kept_in_a_hosts_table(tmp_path: Path) -> None:
    class Patient(Entity):
        iban: Field[str | None] = field(default=None, sealed=True)

    plugin = Plugin("clinic", version="1.0.0")
    plugin.entities(Patient)
    with pytest.raises(LoadError) as e:
        CRM("sqlite://", plugins=[plugin], keys=FileKeys.create(tmp_path / "keys"), adopt={Patient: Adopted(a_table(), {})})
    assert e.value.code == "adopted_sealed"


def test_a_table_whose_key_nobody_numbers_takes_no_record_of_ours(postgres_databases: PostgresDatabases) -> None:
    database = postgres_databases.create()
    engine = an_engine(database.url)
    unnumbered = a_table(key=Column("id", Integer, primary_key=True, autoincrement=False))
    unnumbered.metadata.create_all(engine)
    crm = CRM(engine, adopt={Account: Adopted(unnumbered, {"name": "title"})})
    crm.migrate()
    with crm.session(HOST) as s, pytest.raises(Refused) as e:
        s.create(Account(name="Acme"))
    assert (e.value.code, e.value.params) == ("adopted_no_sequence", {"table": "firms", "column": "id"})
    crm.close()
    engine.dispose()
    postgres_databases.drop(database)


def test_a_table_of_the_hosts_may_be_called_as_ours_are() -> None:
    named = Table("crm_firms", MetaData(), Column("id", Integer, primary_key=True), Column("crm_title", String(9)))
    crm = CRM("sqlite://", adopt={Account: Adopted(named, {"name": "crm_title"})})
    assert crm.migrations.include_name("crm_firms", "table", {"schema_name": None})
    assert crm.migrations.include_name("crm_title", "column", {"schema_name": None, "table_name": "crm_firms"})
    assert not crm.migrations.include_name("crm_owner", "column", {"schema_name": None, "table_name": "crm_firms"})
    assert not crm.migrations.include_name("crm_contact", "table", {"schema_name": None})


def test_a_database_in_which_the_entity_has_records_of_its_own_is_refused(database: Database) -> None:
    with opened(database, adopt={}) as crm:
        crm.migrate()
    with opened(database) as crm, pytest.raises(SchemaBehind) as e:
        crm.migrations.check()
    assert e.value.code == "adopted_late"


def test_the_doctor_names_a_table_whose_keys_come_again(tmp_path: Path) -> None:
    for lasting in (False, True):
        firms = a_table()
        firms.dialect_options["sqlite"]["autoincrement"] = lasting
        engine = an_engine(f"sqlite:///{tmp_path / str(lasting)}.db")
        firms.metadata.create_all(engine)
        with closing(CRM(engine, adopt={Account: Adopted(firms, {"name": "title"})})) as crm:
            crm.migrate()
            found = [f for f in examine(crm) if f.code == "doctor_key_reused"]
        engine.dispose()
        assert [(f.level, f.params) for f in found] == ([] if lasting else [("warning", {"entity": "account", "table": "firms"})])


def test_whose_tenant_a_row_is_may_stand_in_a_column(database: Database) -> None:
    firms = a_table(Column("org", Integer, nullable=False))
    engine = an_engine(database.url)
    firms.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(firms.insert(), [{"title": "One", "org": 1}, {"title": "Two", "org": 2}])
    crm = CRM(engine, adopt={Account: Adopted(firms, {"name": "title", "tenant": "org"})})
    crm.migrate()
    with crm.session(Actor.system("t", tenant="2")) as s:
        assert [a.name for a in s.query(Account).all()] == ["Two"]
        s.create(Account(name="Two more"))
    assert crm.adoption.fill() == 2
    with engine.connect() as connection:
        assert connection.execute(text("SELECT title, org FROM firms ORDER BY id")).all() == [("One", 1), ("Two", 2), ("Two more", 2)]
    journal = crm.tables.system.journal
    with engine.connect() as connection:
        assert sorted(connection.execute(journal.select()).mappings().all(), key=lambda r: r["id"])[0]["tenant"] == "2"
    crm.close()
    engine.dispose()


def test_keys_become_ids_and_back_whatever_the_number(database: Database) -> None:
    engine = an_engine(database.url)
    firms = a_table(key=Column("id", Integer().with_variant(BigInteger(), "postgresql"), primary_key=True))
    firms.metadata.create_all(engine)
    numbers = [-5, 0, 1, 65_536, (1 << 48) + 7, (1 << 62) + 1]
    with engine.begin() as connection:
        connection.execute(firms.insert(), [{"id": n, "title": str(n)} for n in numbers])
    crm = CRM(engine, adopt={Account: Adopted(firms, {"name": "title"})})
    crm.migrate()
    key = crm.tables.adopted[Account].key
    with crm.session(HOST) as s:
        found = {a.id: a.name for a in s.query(Account).all()}
    assert found == {key.id(n): str(n) for n in numbers}
    assert [key.value(id_, "sqlite") for id_ in map(key.id, numbers)] == numbers
    crm.close()
    engine.dispose()


def test_what_we_would_not_have_taken_is_read_and_reported(database: Database) -> None:
    with opened(database) as crm:
        crm.migrate()
        with engine_of(crm).begin() as connection:
            rows = [(None, "company"), ("x" * 300, "company"), ("Fine", "unheard of")]
            insert = "INSERT INTO customers (company_name, sort, country) VALUES (:name, :sort, 'DE')"
            connection.execute(text(insert), [{"name": name, "sort": sort} for name, sort in rows])
            never = {"sqlite": ("no date", "0000-01-01 00:00:00"), "postgresql": ("infinity", "-infinity")}[crm.bound.kind]
            connection.execute(text(f"UPDATE customers SET entered = '{never[0]}', archived = '{never[1]}'"))
        with crm.session(HOST) as s:
            found = s.query(Account).order_by(Account.name).all()
            assert [a.name[:4] for a in found] == ["", "Fine", "xxxx"]
            assert found[1].kind.value == "company"
            s.update(Account, found[2].id, {"industry": "Long names"})
        flaws = sorted((f.key, f.detail.field, f.detail.code) for f in crm.adoption.check())
        assert flaws[:2] == [(1, "name", "required"), (2, "name", "too_long")]


def test_a_backup_carries_the_records_to_a_crm_with_tables_of_its_own_and_comes_back_into_no_hosts_table(
    database: Database, databases: Any, tmp_path: Any
) -> None:
    from crm_core.backup import backup, restore

    key = FileKeys.create(tmp_path / "key")
    with opened(database) as crm:
        crm.migrate()
        with crm.session(HOST) as s:
            made = s.create(Account(name="Acme", owner="3"))
        backup(crm, tmp_path / "all.crm", key)
        with pytest.raises(BackupRefused) as e:
            restore(crm, tmp_path / "all.crm", key, force=True)
    assert e.value.code == "backup_adopted"
    other = databases.create()
    away = CRM(other.url)
    restore(away, tmp_path / "all.crm", key)
    with away.session(HOST) as s:
        assert s.get(Account, made.id).owner == "3"
    away.close()
    databases.drop(other)


def test_ids_of_uuid_keys_are_the_keys(database: Database) -> None:
    assert isinstance(Person.__table__.c.id.type, Uuid)
    with opened(database) as crm:
        key = crm.tables.adopted[Contact].key
        id_ = crm.runtime.ids.new()
        assert key.id(key.value(id_, crm.bound.kind)) == id_


def test_a_table_that_the_host_has_not_made_yet_is_named(database: Database) -> None:
    engine = an_engine(database.url)
    crm = CRM(engine, adopt={Account: Adopted(Customer, CUSTOMER)})
    for call in (crm.migrate, crm.migrations.plan):
        with pytest.raises(SchemaBehind) as caught:
            call()
        assert (caught.value.code, caught.value.params["table"]) == ("adopted_table_missing", "customers")
    crm.close()
    engine.dispose()


def test_the_hosts_key_is_no_id_and_the_error_says_how_it_becomes_one(database: Database) -> None:
    with opened(database) as crm:
        crm.migrate()
        with crm.session(HOST) as s:
            s.create(Account(name="Acme"))
            assert s.get(Account, crm.adoption.id(Account, 1)).name == "Acme"
            wrong: tuple[Any, ...] = (1, "1")
            for key in wrong:
                with pytest.raises(NotFound) as caught:
                    s.get(Account, key)
                assert str(caught.value).endswith("Of the key of a row of yours, crm.adoption.id(Account, key) makes the id.")
            with pytest.raises(NotFound) as hidden:
                s.get(Account, crm.adoption.id(Account, 2))
            assert str(hidden.value) == "There is no such record."
        with pytest.raises(WrongArgument) as text_for_a_number:
            crm.adoption.id(Account, "1")
        assert str(text_for_a_number.value).endswith("where a value of customers.id, an int is needed.")


def test_a_row_taken_up_waits_since_then_and_not_since_it_was_made(database: Database) -> None:
    """The doctor said that a subscriber was fifty years behind."""
    plugin = Plugin("greeter", version="1.0")
    plugin.grants("account:read")
    plugin.on(Created[Account])(lambda s, event: None)
    columns = {name: column for name, column in CUSTOMER.items() if name != "created_at"}
    with opened(database, plugins=[plugin], adopt={Account: Adopted(Customer, columns)}) as crm:
        crm.migrate()
        with engine_of(crm).begin() as connection:
            connection.execute(text("INSERT INTO customers (company_name, country) VALUES ('Old', 'DE')"))
        assert crm.adoption.fill() == 1
        crm.audit.seal()  # positions are given
        (behind,) = (f for f in examine(crm) if f.check == "events")
        assert behind.params["seconds"] < 60
