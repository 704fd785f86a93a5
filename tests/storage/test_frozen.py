"""Frozen revisions: how they are written, how databases follow them, and that ours make what the code declares."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core.entities.entity import Entity
from crm_core.entities.fields import Field, field
from crm_core.errors import Invalid, LoadError, SchemaBehind
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.storage.engine import Bound, open_engine
from crm_core.storage.migrations import Migrations
from crm_core.storage.revisions.freeze import freeze, missing
from crm_core.storage.revisions.history import frozen, order
from crm_core.storage.revisions.steps import AddColumn, ColumnStep, CreateIndex, CreateTable, declared, from_plain, to_plain
from crm_core.storage.tables import Tables
from crm_core.testing.databases import Database
from tests.storage.zoo import (
    SHOP,
    ZOO,
    differences,
    migrations_of,
    tables_in,
    tables_of,
)

ROOT = Path(__file__).resolve().parents[2]

# Said by the reflection and sorting that only Alembic's comparison does, here and in hosts that do not leave our tables out.
pytestmark = pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'", "ignore:Cannot correctly sort tables")


@pytest.fixture
def bound(database: Database) -> Iterator[Bound]:
    opened = open_engine(database.url)
    yield opened
    opened.dispose()


MODULES = [crm_analytics.plugin, crm_erp_bridge.plugin, crm_marketing.plugin, crm_sales.plugin, crm_service.plugin]


@pytest.mark.parametrize("name", ["core", *(plugin.name for plugin in MODULES)])
def test_frozen_revisions_make_what_is_declared(name: str) -> None:
    registry = Registry(MODULES)
    tables = Tables(registry.entities, {e: registry.extensions(e) for e in registry.entities}, registry.links)
    plugin = registry.plugin(name)
    revisions = frozen(plugin.package)
    assert missing([step for revision in revisions for step in revision.steps], declared(tables, name)) == []


def test_revisions_are_ordered_by_year_and_month() -> None:
    assert sorted(["2027.2", "2026.11", "2026.9"], key=order) == ["2026.9", "2026.11", "2027.2"]


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


def test_a_revision_is_not_written_over(package: str) -> None:
    importlib.import_module(package)
    freeze(Registry([fleet(package)]), "2026.11", ["fleet"])
    with pytest.raises(LoadError) as error:
        freeze(Registry([fleet(package, later=True)]), "2026.11", ["fleet"])
    assert (error.value.code, revisions_in(package)) == ("revision_exists", ["2026.11.json"])
    with pytest.raises(LoadError) as error:
        freeze(Registry([fleet(package, later=True)]), "two", ["fleet"])
    assert (error.value.code, revisions_in(package)) == ("revision_name", ["2026.11.json"])


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


VENDOR = """
from crm_core.entities.entity import Entity
from crm_core.entities.fields import Field
from crm_core.hooks.plugin import Plugin
class Boat(Entity):
    name: Field[str]
plugin = Plugin("boats", version="1.0", package="vendor_of_ships")
plugin.entities(Boat)
"""


def test_the_command_freezes_an_installed_plugin(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "__init__.py").write_text(VENDOR)
    (tmp_path / "boats-1.0.dist-info").mkdir()
    (tmp_path / "boats-1.0.dist-info" / "entry_points.txt").write_text(f"[crm.plugins]\nboats = {package}:plugin\n")
    command = [sys.executable, "-m", "crm_core.storage.revisions.freeze", "2026.11", "boats"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(tmp_path / package / "revisions" / "2026.11.json")
