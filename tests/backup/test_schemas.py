"""[C74] A backup goes under another prefix, into another schema, and into later code, and not where its schema does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_core import CRM, Entity, Field, FileKeys, Plugin, field
from crm_core.backup import BackupRefused, backup, restore
from crm_core.hooks.registry import Registry
from crm_core.storage.revisions.freeze import freeze
from crm_core.testing.databases import Database, Databases
from tests.backup.world import counts, lab, plain, system


def test_c74_a_backup_knows_no_prefix_and_no_schema(crm: CRM, database: Database, key: FileKeys, tmp_path: Path) -> None:
    backup(crm, tmp_path / "all.crm", key)
    schema = "Other" if database.kind == "postgresql" else None
    other = CRM(database.url, plugins=[lab], prefix="x_", schema=schema)
    restore(other, tmp_path / "all.crm", key)
    assert plain(other) == plain(crm)
    with other.session(system()) as s:
        s.note("core.tested.v1", {})
    assert other.run_pending() == crm.run_pending() == 2
    other.close()


def boats(package: str, *, later: bool = False) -> Plugin:
    """One plugin at two ages: later it has a field and an entity more."""
    plugin = Plugin("boats", version="2.0" if later else "1.0", package=package)
    if later:

        class Boat(Entity):
            name: Field[str]
            flag: Field[str] = field(default="at", length=2)

        class Harbour(Entity):
            name: Field[str]

        plugin.entities(Boat, Harbour)
    else:

        class Boat(Entity):  # type: ignore[no-redef]  # the same entity, before
            name: Field[str]

        plugin.entities(Boat)
    return plugin


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_c74_a_backup_of_older_code_is_brought_up_to_date_and_one_of_later_code_is_refused(
    databases: Databases, package: str, key: FileKeys, tmp_path: Path
) -> None:
    freeze(Registry([boats(package)]), "2026.11", ["boats"])
    places = [databases.create() for _ in range(3)]
    old = CRM(places[0].url, plugins=[boats(package)])
    old.migrate()
    with old.session(system()) as s:
        s.create(old.entity("boats.boat")(name="Titania"))
    backup(old, tmp_path / "old.crm", key)
    later = boats(package, later=True)
    freeze(Registry([later]), "2027.2", ["boats"])
    new = CRM(places[1].url, plugins=[later])
    restore(new, tmp_path / "old.crm", key)
    new.migrations.check()
    with new.session(system()) as s:
        [boat] = s.query(new.entity("boats.boat")).all()
        assert (boat.name, boat.flag) == ("Titania", "at")
        s.create(new.entity("boats.harbour")(name="Linz"))
    # A database of later code takes the backup of its own code alone, whatever it is told.
    with pytest.raises(BackupRefused) as error:
        restore(new, tmp_path / "old.crm", key, force=True)
    assert (error.value.code, error.value.params) == ("backup_schema", {"plugins": ["boats"]})
    backup(new, tmp_path / "new.crm", key)
    older = CRM(places[2].url, plugins=[boats(package)])
    with pytest.raises(BackupRefused) as error:
        restore(older, tmp_path / "new.crm", key)
    assert error.value.code == "backup_unknown_table"
    assert counts(older) == {}
    for crm, place in zip((old, new, older), places, strict=True):
        crm.close()
        databases.drop(place)
