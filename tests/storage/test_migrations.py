"""The schema's history, on both databases: up, down and up again, alone and inside the host's own migrations."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata, produce_migrations
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from crm_core.entities.customer import Account
from crm_core.entities.entity import Entity, Extension
from crm_core.entities.fields import Field, ListField, MoneyField, Ref, field
from crm_core.entities.sqltypes import EnumType, IdType, InstantType, ListType
from crm_core.entities.values import Email
from crm_core.errors import Conflict, CRMError, Invalid, LoadError, SchemaBehind
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.storage.engine import Bound, open_engine
from crm_core.storage.migrations import Migrations
from crm_core.storage.revisions.freeze import freeze
from crm_core.storage.revisions.steps import AddColumn, ColumnStep, CreateIndex, CreateTable, declared, from_plain, to_plain
from crm_core.storage.tables import Tables
from tests.databases import Database

# Said by the reflection and sorting that only Alembic's comparison does, here and in hosts that do not leave our tables out.
pytestmark = pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'", "ignore:Cannot correctly sort tables")


class Diet(Enum):
    PLANTS = "plants"
    MEAT = "meat"


class Keeper(Entity):
    name: Field[str] = field(length=100, unique=True)
    boss: Field[Ref[Keeper] | None] = field(default=None)
    cage: Field[Ref[Cage] | None] = field(default=None, on_delete="set_null")
    emails: ListField[Email] = field(factory=list)


class Cage(Entity):
    """Points at Keeper as Keeper points at it: no order of creation fits both."""

    keeper: Field[Ref[Keeper] | None] = field(default=None)
    label: Field[str]


class Animal(Entity):
    cage: Field[Ref[Cage]] = field(on_delete="cascade")
    sponsor: Field[Ref[Account] | None] = field(default=None)
    diet: Field[Diet] = field(default=Diet.PLANTS)
    price: MoneyField
    weight: Field[Decimal] = field(index=True)
    born: Field[date | None] = field(default=None)
    legs: Field[int] = field(default=4)
    tame: Field[bool] = field(default=False)
    notes: Field[dict[str, Any] | None] = field(default=None)


class ZooAccount(Extension):
    tier: Field[str] = field(default="bronze", length=20, index=True)
    visits: Field[int] = field(default=0)
    keeper: Field[Ref[Keeper] | None] = field(default=None)


ZOO = Plugin("zoo", version="1.0.0")
ZOO.entities(Keeper, Cage, Animal)
ZOO.extend(Account)(ZooAccount)
ZOO.link(Animal, Account)


class Ticket(Entity):
    animal: Field[Ref[Animal] | None] = field(default=None)


SHOP = Plugin("zoo.shop", version="1.0.0", requires={"zoo": ">=1"})
SHOP.entities(Ticket)


class Ship(Entity):
    name: Field[str]


NAVY = Plugin("navy", version="1.0.0")
NAVY.entities(Ship)


def tables_of(*plugins: Plugin, prefix: str = "crm_", schema: str | None = None) -> tuple[Registry, Tables]:
    registry = Registry(plugins)
    return registry, Tables(
        registry.entities, {e: registry.extensions(e) for e in registry.entities}, registry.links, prefix=prefix, schema=schema
    )


def migrations_of(bound: Bound, *plugins: Plugin, **options: Any) -> Migrations:
    registry, tables = tables_of(*plugins, **options)
    return Migrations(bound, tables, registry)


@pytest.fixture
def bound(database: Database) -> Iterator[Bound]:
    opened = open_engine(database.url)
    yield opened
    opened.dispose()


def tables_in(bound: Bound, schema: str | None = None) -> set[str]:
    return set(sa.inspect(bound.engine).get_table_names(schema))


def differences(bound: Bound, tables: Tables) -> list[Any]:
    """What Alembic finds between the database and what is declared, types included; our version table is no part of that."""
    with bound.begin(write=False) as connection:
        options = {
            "compare_type": True,
            "include_schemas": tables.schema is not None,
            "include_name": lambda name, kind, _: (
                not (kind == "table" and name.endswith("version")) and not (kind == "schema" and name != tables.schema)
            ),
        }
        found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata)
    if bound.kind == "postgresql":
        return found
    # SQLite has no identity columns (AUTOINCREMENT stands in), and SQLAlchemy does not read the rules of references beside a column.
    heads = [d[0] if isinstance(d, tuple) else d[0][0] for d in found]
    others = [d for d, head in zip(found, heads, strict=True) if head not in ("modify_default", "add_fk", "remove_fk")]
    return [*others, *(_declared_keys(tables) ^ _kept_keys(bound, tables))]


def _declared_keys(tables: Tables) -> set[tuple[str, str, str, str | None]]:
    return {
        (table.name, key.parent.name, key.column.table.name, key.ondelete)
        for table in tables.metadata.tables.values()
        for key in table.foreign_keys
    }


def _kept_keys(bound: Bound, tables: Tables) -> set[tuple[str, str, str, str | None]]:
    with bound.begin(write=False) as connection:
        return {
            (table.name, row[3], row[2], row[6])
            for table in tables.metadata.tables.values()
            for row in connection.exec_driver_sql(f"PRAGMA foreign_key_list({table.name})")
        }


# -- up and down


def test_the_core_alone_goes_up_down_and_up(bound: Bound) -> None:
    migrations = migrations_of(bound)
    assert migrations.plan()
    migrations.upgrade()
    assert set(migrations.current()) == {"core"}
    assert migrations.plan() == []
    migrations.check()
    migrations.downgrade(None, "core")
    assert tables_in(bound) == set()
    assert migrations.current() == {}
    migrations.upgrade()
    migrations.check()


def test_plugins_go_up_in_the_order_of_their_requirements_and_down_in_reverse(bound: Bound) -> None:
    migrations = migrations_of(bound, SHOP, ZOO)
    assert list(dict.fromkeys(line.split(" ")[0] for line in migrations.plan())) == ["core", "zoo", "zoo.shop"]
    migrations.upgrade()
    core = tables_in(migrations._bound) - {"crm_zoo_keeper"}
    assert {"crm_zoo_animal", "crm_zoo_shop_ticket", "crm_zoo_keeper_emails", "crm_zoo_animal_account_link"} <= core
    with pytest.raises(Conflict) as error:
        migrations.downgrade(None, "zoo")
    assert (error.value.code, error.value.params["by"]) == ("plugin_required", ["zoo.shop"])
    for plugin in ("zoo.shop", "zoo"):
        migrations.downgrade(None, plugin)
    assert not [t for t in tables_in(bound) if "zoo" in t]
    assert not [c for c in sa.inspect(bound.engine).get_columns("crm_account") if "zoo" in c["name"]]
    migrations.upgrade()
    migrations.check()


@pytest.mark.parametrize("options", [{}, {"prefix": "a_much_longer_prefix_"}, {"schema": "crm"}], ids=["plain", "prefix", "schema"])
def test_the_migrated_schema_is_the_declared_schema(bound: Bound, options: dict[str, Any]) -> None:
    if options.get("schema") and bound.kind == "sqlite":
        options = {"prefix": ""}
    registry, tables = tables_of(ZOO, SHOP, **options)
    migrations = Migrations(bound, tables, registry)
    migrations.upgrade()
    assert differences(bound, tables) == []
    migrations.check()


def test_rows_survive_a_plugin_that_comes_later_and_get_its_defaults(bound: Bound) -> None:
    migrations_of(bound).upgrade()
    _, tables = tables_of(ZOO)
    account = tables.entities[Account]
    with bound.begin() as connection:
        connection.execute(sa.insert(account).values(_required(account)))
    migrations_of(bound, ZOO).upgrade()
    with bound.begin(write=False) as connection:
        assert connection.execute(sa.select(account.c.zoo_tier, account.c.zoo_visits, account.c.zoo_keeper)).one() == ("bronze", 0, None)


def test_rows_that_point_at_each_other_do_not_stop_a_downgrade(bound: Bound) -> None:
    migrations = migrations_of(bound, ZOO)
    migrations.upgrade()
    _, tables = tables_of(ZOO)
    keeper, cage = tables.entities[Keeper], tables.entities[Cage]
    with bound.begin() as connection:
        for table in (keeper, cage):
            connection.execute(sa.insert(table).values(_required(table)))
        connection.execute(sa.insert(keeper).values(_required(keeper) | {"id": TWO, "name": "two", "boss": ONE}))
        connection.execute(sa.update(keeper).values(cage=ONE))
        connection.execute(sa.update(cage).values(keeper=TWO))
    migrations.downgrade(None, "zoo")
    assert not [t for t in tables_in(bound) if "zoo" in t]


ONE, TWO = (f"01890000-0000-7000-8000-00000000000{n}" for n in (1, 2))


def _required(table: sa.Table) -> dict[str, Any]:
    return {c.name: _sample(c) for c in table.c if not c.nullable and c.server_default is None}


def _sample(column: sa.Column[Any]) -> Any:
    if isinstance(column.type, EnumType):
        return next(iter(column.type.members))
    samples = {IdType: ONE, InstantType: datetime(2026, 1, 1, tzinfo=UTC), ListType: [], sa.BigInteger: 1}
    return samples.get(type(column.type), "one")


# -- in the host's hands


def test_an_upgrade_in_the_hosts_transaction_vanishes_with_it(bound: Bound, database: Database) -> None:
    migrations = migrations_of(bound, ZOO)
    with database.engine().connect() as host:
        migrations.upgrade(host)
        assert sa.inspect(host).has_table("crm_zoo_animal")
        host.rollback()
    assert tables_in(bound) == set()
    with database.engine().begin() as host:
        migrations.upgrade(host)
    migrations.check()


def test_an_upgrade_that_fails_midway_leaves_nothing(bound: Bound) -> None:
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (id integer PRIMARY KEY)")
        # The name of an index of ours is taken, which shows only halfway through.
        connection.exec_driver_sql("CREATE INDEX crm_zoo_keeper_cage_idx ON other (id)")
    with pytest.raises(CRMError):
        migrations_of(bound, ZOO).upgrade()
    assert tables_in(bound) == {"other"}


ENV = """
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table
host = MetaData()
Table("orders", host, Column("id", Integer, primary_key=True))
migrations = context.config.attributes["migrations"]
with context.config.attributes["engine"].connect() as connection:
    context.configure(connection=connection, target_metadata=host, include_name=migrations.include_name)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import context, op
import sqlalchemy as sa
revision, down_revision = "0042", None
def upgrade():
    op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True))
    context.config.attributes["migrations"].upgrade(op.get_bind())
    if context.config.attributes["fails"]:
        op.execute("SELECT * FROM nowhere")
"""


@pytest.fixture
def alembic(database: Database, tmp_path: Path) -> Config:
    """A host's own Alembic environment, whose one revision takes our schema along."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "versions" / "0042_crm.py").write_text(REVISION)
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "os")
    config.attributes.update(engine=database.engine(), fails=False)
    return config


def test_an_upgrade_runs_inside_the_hosts_own_revision(bound: Bound, alembic: Config) -> None:
    migrations = alembic.attributes["migrations"] = migrations_of(bound, ZOO)
    command.upgrade(alembic, "head")
    assert {"orders", "crm_account", "alembic_version"} <= tables_in(bound)
    migrations.check()
    command.check(alembic)


def test_the_hosts_own_revision_that_fails_takes_our_schema_back(bound: Bound, alembic: Config) -> None:
    alembic.attributes.update(migrations=migrations_of(bound, ZOO), fails=True)
    with pytest.raises(sa.exc.DBAPIError):
        command.upgrade(alembic, "head")
    assert not [t for t in tables_in(bound) if t.startswith("crm_")]


def test_the_hosts_autogenerate_proposes_nothing_against_our_tables(bound: Bound, database: Database) -> None:
    migrations = migrations_of(bound, ZOO)
    migrations.upgrade()
    host = sa.MetaData()
    sa.Table("orders", host, sa.Column("id", sa.Integer, primary_key=True))
    with database.engine().connect() as connection:
        options = {"include_name": migrations.include_name, "target_metadata": host}
        script = produce_migrations(MigrationContext.configure(connection, opts=options), host)
        assert script.upgrade_ops is not None
        assert [type(o).__name__ for o in script.upgrade_ops.ops] == ["CreateTableOp"]
        without = produce_migrations(MigrationContext.configure(connection), host)
        assert without.upgrade_ops is not None
        assert len(without.upgrade_ops.ops) > 10


def test_the_hosts_foreign_key_to_our_table_is_kept(bound: Bound, database: Database) -> None:
    migrations = migrations_of(bound)
    migrations.upgrade()
    _, ours = tables_of()
    host = sa.MetaData()
    orders = sa.Table("orders", host, sa.Column("account", ours.entities[Account].c.id.type, sa.ForeignKey(ours.entities[Account].c.id)))
    with bound.begin() as connection:
        orders.create(connection)
    with pytest.raises(Conflict) as error, bound.begin() as connection:
        connection.execute(sa.insert(orders).values(account="01890000-0000-7000-8000-000000000000"))
    assert error.value.code == "reference_broken"


def test_migrations_run_on_an_asynchronous_engine(bound: Bound, database: Database) -> None:
    async def main() -> None:
        ours = open_engine(database.async_url)
        migrations = migrations_of(ours, ZOO)
        await ours.run(migrations.upgrade)
        await ours.run(migrations.check)
        await ours.adispose()

    asyncio.run(main())
    migrations_of(bound, ZOO).check()


# -- several at once


def test_two_crms_with_different_plugins_migrate_in_two_threads(databases: Any) -> None:
    made = [databases.create(), databases.create()]
    opened = [open_engine(d.url) for d in made]
    errors: list[BaseException] = []

    def work(bound: Bound, plugin: Plugin) -> None:
        try:
            for _ in range(3):
                migrations = migrations_of(bound, plugin)
                migrations.upgrade()
                migrations.downgrade(None, plugin.name)
                migrations.upgrade()
                migrations.check()
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(opened, (ZOO, NAVY), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert "crm_zoo_animal" in tables_in(opened[0]) - tables_in(opened[1])
    assert "crm_navy_ship" in tables_in(opened[1]) - tables_in(opened[0])
    for bound, database in zip(opened, made, strict=True):
        bound.dispose()
        databases.drop(database)


def test_two_processes_that_boot_together_migrate_once(bound: Bound, database: Database) -> None:
    errors: list[BaseException] = []
    start = threading.Barrier(4)

    def work() -> None:
        own = open_engine(database.url)
        try:
            start.wait()
            migrations_of(own, ZOO).upgrade()
        except BaseException as e:
            errors.append(e)
        finally:
            own.dispose()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    migrations_of(bound, ZOO).check()


def test_two_crms_share_a_database_under_two_prefixes(bound: Bound) -> None:
    one, two = migrations_of(bound, ZOO), migrations_of(bound, NAVY, prefix="other_")
    one.upgrade()
    two.upgrade()
    one.check()
    two.check()
    two.downgrade(None, "navy")
    two.downgrade(None, "core")
    one.check()
    assert not [t for t in tables_in(bound) if t.startswith("other_")]


# -- what a check says


def test_an_empty_database_is_behind(bound: Bound) -> None:
    with pytest.raises(SchemaBehind) as error:
        migrations_of(bound).check()
    assert error.value.code == "schema_missing"


def test_a_new_plugin_makes_the_schema_behind_and_is_named(bound: Bound) -> None:
    migrations_of(bound).upgrade()
    with pytest.raises(SchemaBehind) as error:
        migrations_of(bound, ZOO).check()
    assert (error.value.code, error.value.params["plugins"]) == ("schema_behind", ["zoo"])


def test_a_plugin_that_is_not_loaded_does_not_disturb(bound: Bound) -> None:
    migrations_of(bound, ZOO).upgrade()
    migrations_of(bound).check()
    assert migrations_of(bound).plan() == []


def test_a_missing_table_is_named(bound: Bound) -> None:
    migrations = migrations_of(bound, NAVY)
    migrations.upgrade()
    with bound.begin() as connection:
        connection.exec_driver_sql("DROP TABLE crm_navy_ship")
    with pytest.raises(SchemaBehind) as error:
        migrations.check()
    assert (error.value.code, error.value.params["tables"]) == ("schema_damaged", ["crm_navy_ship"])


def test_tables_of_our_names_that_are_not_ours_are_left_alone(bound: Bound) -> None:
    with bound.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE crm_account (theirs integer)")
    migrations = migrations_of(bound)
    for call in (migrations.check, migrations.upgrade, migrations.plan):
        with pytest.raises(SchemaBehind) as error:
            call()
        assert (error.value.code, error.value.params["tables"]) == ("schema_not_ours", ["crm_account"])
    assert tables_in(bound) == {"crm_account"}


# -- frozen revisions


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "vendor_of_ships").mkdir()
    (tmp_path / "vendor_of_ships" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "vendor_of_ships"
    sys.modules.pop("vendor_of_ships", None)


def fleet(package: str, *, later: bool = False) -> Plugin:
    """One plugin at two ages: later it has another table, another field and another index."""
    plugin = Plugin("fleet", version="2.0" if later else "1.0", package=package)
    if later:

        class Vessel(Entity):
            name: Field[str]
            flag: Field[str | None] = field(default=None, index=True, length=2)

        class Harbour(Entity):
            name: Field[str] = field(unique=True)

        plugin.entities(Vessel, Harbour)
    else:

        class Vessel(Entity):  # type: ignore[no-redef]  # the same entity, before
            name: Field[str]

        plugin.entities(Vessel)
    return plugin


def revisions_in(package: str) -> list[str]:
    return sorted(p.name for p in (Path(sys.modules[package].__file__ or "").parent / "revisions").iterdir())


def frozen_twice(package: str) -> Plugin:
    importlib.import_module(package)
    freeze(Registry([fleet(package)]), "2026.11", ["fleet"])
    later = fleet(package, later=True)
    freeze(Registry([later]), "2027.2", ["fleet"])
    return later


def test_freezing_twice_writes_what_came_between(package: str) -> None:
    plugin = frozen_twice(package)
    assert revisions_in(package) == ["2026.11.json", "2027.2.json"]
    path = Path(sys.modules[package].__file__ or "").parent / "revisions" / "2027.2.json"
    steps = [from_plain(s) for s in json.loads(path.read_text())]
    assert sorted(type(s).__name__ for s in steps) == ["AddColumn", *["CreateIndex"] * 3, "CreateTable"]
    assert freeze(Registry([plugin]), "2027.3", ["fleet"]) == []


def test_a_plugin_without_a_package_has_nowhere_to_keep_revisions() -> None:
    with pytest.raises(LoadError) as error:
        freeze(Registry([ZOO]), "2026.11", ["zoo"])
    assert error.value.code == "package_missing"


def test_a_change_of_what_was_frozen_is_refused(package: str) -> None:
    importlib.import_module(package)
    freeze(Registry([fleet(package, later=True)]), "2026.11", ["fleet"])
    with pytest.raises(LoadError) as error:
        freeze(Registry([fleet(package)]), "2027.2", ["fleet"])
    assert error.value.code == "schema_changed"


def test_frozen_revisions_go_up_step_by_step_and_down_again(bound: Bound, package: str) -> None:
    registry, tables = tables_of(frozen_twice(package))
    migrations = Migrations(bound, tables, registry)
    migrations.upgrade(to="2026.11")
    assert migrations.current()["fleet"] == "2026.11"
    assert "crm_fleet_harbour" not in tables_in(bound)
    with pytest.raises(SchemaBehind):
        migrations.check()
    migrations.upgrade()
    assert migrations.current()["fleet"] == "2027.2"
    assert differences(bound, tables) == []
    migrations.downgrade(None, "fleet", "2026.11")
    assert "crm_fleet_harbour" not in tables_in(bound)
    assert "flag" not in [c["name"] for c in sa.inspect(bound.engine).get_columns("crm_fleet_vessel")]
    migrations.upgrade()
    migrations.check()
    migrations.downgrade(None, "fleet")
    assert "crm_fleet_vessel" not in tables_in(bound)


def test_a_database_made_before_freezing_continues_from_there(bound: Bound, package: str) -> None:
    migrations_of(bound, fleet("")).upgrade()
    assert migrations_of(bound, fleet("")).current()["fleet"].startswith("declared.")
    migrations = migrations_of(bound, frozen_twice(package))
    assert {line.split(":")[0] for line in migrations.plan()} == {"fleet 2027.2"}
    migrations.upgrade()
    migrations.check()


def test_a_schema_that_is_not_frozen_grows_with_what_is_declared(bound: Bound) -> None:
    migrations_of(bound, fleet("")).upgrade()
    registry, tables = tables_of(fleet("", later=True))
    migrations = Migrations(bound, tables, registry)
    assert len(migrations.plan()) == 5
    migrations.upgrade()
    assert differences(bound, tables) == []
    migrations.check()


def test_a_newer_database_is_refused_by_older_code(bound: Bound, package: str) -> None:
    migrations_of(bound, frozen_twice(package)).upgrade()
    (Path(sys.modules[package].__file__ or "").parent / "revisions" / "2027.2.json").unlink()
    older = migrations_of(bound, fleet(package))
    for call in (older.check, older.upgrade):
        with pytest.raises(SchemaBehind) as error:
            call()
        assert error.value.code == "schema_newer"
        assert error.value.params == {"plugin": "fleet", "found": "2027.2", "known": "2026.11"}


@pytest.mark.parametrize("to", ["2025.1", "latest", ""])
def test_an_unknown_revision_is_refused_with_those_that_are_known(bound: Bound, package: str, to: str) -> None:
    migrations = migrations_of(bound, frozen_twice(package))
    with pytest.raises(Invalid) as error:
        migrations.upgrade(to=to)
    assert error.value.code == "unknown_revision"
    assert {"heads", "2026.11", "2027.2"} <= set(error.value.params["known"])
    assert tables_in(bound) == set()


def test_an_unknown_plugin_is_refused(bound: Bound) -> None:
    with pytest.raises(Invalid) as error:
        migrations_of(bound).downgrade(None, "nothing")
    assert error.value.code == "unknown_plugin"


def test_every_step_survives_json() -> None:
    _, tables = tables_of(ZOO, SHOP)
    steps = [s for plugin in ("core", "zoo", "zoo.shop") for s in declared(tables, plugin)]
    assert {type(s) for s in steps} == {CreateTable, AddColumn, CreateIndex}
    assert [from_plain(json.loads(json.dumps(to_plain(s)))) for s in steps] == steps


def test_an_extensions_columns_belong_to_the_plugin_that_extends() -> None:
    _, tables = tables_of(ZOO)
    assert not [s for s in declared(tables, "core") if "zoo" in str(s)]
    added = [s.column for s in declared(tables, "zoo") if isinstance(s, AddColumn)]
    assert ColumnStep("zoo_tier", "str(20)", nullable=False, default="bronze") in added
    assert ColumnStep("zoo_keeper", "id", references="zoo_keeper", on_delete="RESTRICT") in added
