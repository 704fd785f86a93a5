"""The schema's history, on both databases: up, down and up again, alone and inside the host's own migrations."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import produce_migrations
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from crm_core.entities.customer import Account
from crm_core.entities.sqltypes import EnumType, IdType, InstantType, IntegerType, ListType
from crm_core.errors import Conflict, CRMError, SchemaBehind
from crm_core.hooks.plugin import Plugin
from crm_core.storage.engine import Bound, open_engine
from crm_core.storage.migrations import Migrations
from crm_core.testing.databases import Database
from tests.storage.zoo import (
    NAVY,
    SHOP,
    ZOO,
    Cage,
    Keeper,
    differences,
    migrations_of,
    tables_in,
    tables_of,
)
from tests.threads import at_once

# Said by the reflection and sorting that only Alembic's comparison does, here and in hosts that do not leave our tables out.
pytestmark = pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'", "ignore:Cannot correctly sort tables")


@pytest.fixture
def bound(database: Database) -> Iterator[Bound]:
    opened = open_engine(database.url)
    yield opened
    opened.dispose()


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
    samples = {IdType: ONE, InstantType: datetime(2026, 1, 1, tzinfo=UTC), ListType: [], sa.BigInteger: 1, IntegerType: 1}
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
        await ours.run(ours.dispose)

    asyncio.run(main())
    assert set(migrations_of(bound, ZOO).current()) == {"core", "zoo"}
    assert migrations_of(bound, ZOO).plan() == []


# -- several at once


def test_two_crms_with_different_plugins_migrate_in_two_threads(databases: Any) -> None:
    made = [databases.create(), databases.create()]
    opened = [open_engine(d.url) for d in made]

    def work(pair: tuple[Bound, Plugin]) -> None:
        bound, plugin = pair
        for _ in range(3):
            migrations = migrations_of(bound, plugin)
            migrations.upgrade()
            migrations.downgrade(None, plugin.name)
            migrations.upgrade()
            migrations.check()

    at_once(work, list(zip(opened, (ZOO, NAVY), strict=True)))
    assert "crm_zoo_animal" in tables_in(opened[0]) - tables_in(opened[1])
    assert "crm_navy_ship" in tables_in(opened[1]) - tables_in(opened[0])
    for bound, database in zip(opened, made, strict=True):
        bound.dispose()
        databases.drop(database)


def test_two_processes_that_boot_together_migrate_once(bound: Bound, database: Database) -> None:
    def work(own: Bound) -> None:
        migrations_of(own, ZOO).upgrade()

    booted = [open_engine(database.url) for _ in range(4)]
    at_once(work, booted)
    for own in booted:
        own.dispose()
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
