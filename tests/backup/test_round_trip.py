"""[C74] What a backup holds comes back, into either database, and the CRM goes on from there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from crm_core import CRM, Account, FileKeys, SchemaBehind
from crm_core.backup import BackupRefused, backup, restore, verify
from crm_core.events.subscription import Fenced, advance, lease
from crm_core.storage.backup.layout import MADE_ANEW, Layout, named
from crm_core.testing.databases import Database, Databases, PostgresDatabases, SQLiteDatabases
from tests.backup.conftest import Empty
from tests.backup.world import counts, fill, hard_things, journal, lab, plain, raw, system
from tests.conftest import MakeCRM

# What a restore makes anew, or adds a row to.
HARD_THINGS, SEED = 300, 82
_MADE = ("journal", "journal_position", "sequencer", "subscription")


def test_c74_a_restored_crm_is_the_one_of_the_backup(crm: CRM, bare: CRM, key: FileKeys, tmp_path: Path) -> None:
    before, kept, told = raw(crm, without=_MADE), plain(crm), journal(crm)
    done = backup(crm, tmp_path / "all.crm", key)
    assert (done.position, done.entries) == (len(told), len(told))
    assert verify(tmp_path / "all.crm", key) == done
    other = bare
    restore(other, tmp_path / "all.crm", key)
    assert raw(other, without=_MADE) == before
    assert (plain(other), plain(other, "acme")["Thing"][0]["name"]) == (kept, "whole")
    assert journal(other)[: len(told)] == told
    other.migrations.check()
    # The journal says so, in each tenant, here and there.
    assert [row[4] for row in journal(crm)[len(told) :]] == ["core.backed_up.v1"] * 2
    assert {(row[1], row[4]) for row in journal(other)[len(told) :]} <= {("acme", "core.restored.v1"), ("main", "core.restored.v1")}


def test_c74_a_restored_crm_goes_on(crm: CRM, empty: Empty, key: FileKeys, tmp_path: Path) -> None:
    """What was not delivered is, once; what was, is not again; new rows come behind the highest."""
    backup(crm, tmp_path / "all.crm", key)
    other = empty()
    end = restore(other, tmp_path / "all.crm", key).position
    assert [line.record for line in other.delivery.parked()] == [line.record for line in crm.delivery.parked()]
    for each in (crm, other):
        each.run_pending()
    greeted = ["hello main group", "hello below", "hello gone", "hello late"]
    assert [[note["body"] for note in plain(each)["Note"]] for each in (crm, other)] == [greeted, greeted]
    with other.session(system()) as s:
        account = s.create(Account(name="after"))
    assert other.run_pending() == 1
    assert [row[0] for row in journal(other)] == list(range(1, len(journal(other)) + 1))
    created = next(row for row in journal(other) if row[5] == account.id)
    assert created[0] > end
    assert other.outcome("once") == crm.outcome("once")


def test_c74_a_lease_from_before_a_restore_moves_nothing(crm: CRM, key: FileKeys, tmp_path: Path) -> None:
    """[R10] Neither a claim of the backup nor one given out here since is worth anything, also after a second restore."""
    backup(crm, tmp_path / "all.crm", key)
    for _ in range(2):
        with crm.bound.begin() as connection:
            held = lease(connection, crm.tables, "lab.greet", timedelta(hours=1))
        assert held is not None
        restore(crm, tmp_path / "all.crm", key, force=True)
        with pytest.raises(Fenced), crm.bound.begin() as connection:
            advance(connection, crm.tables, held, held.position + 1, crm.runtime.clock.now())
        with crm.bound.begin() as connection:
            assert lease(connection, crm.tables, "lab.greet", timedelta(0)) is not None


@pytest.mark.parametrize("source", ["sqlite", "postgresql"])
def test_c82_a_backup_goes_into_the_other_database_and_back(
    source: str, sqlite_databases: SQLiteDatabases, postgres_databases: PostgresDatabases, key: FileKeys, tmp_path: Path
) -> None:
    pair: list[Databases] = [sqlite_databases, postgres_databases]
    places = [d.create() for d in (pair if source == "sqlite" else pair[::-1])]
    first, second = (CRM(place.url, plugins=[lab]) for place in places)
    first.migrate()
    fill(first)
    with first.session(system()) as s:
        s.create_many(hard_things(HARD_THINGS, SEED))
    kept, told = plain(first), journal(first)
    there = backup(first, tmp_path / "one.crm", key)
    restore(second, tmp_path / "one.crm", key)
    assert (plain(second), journal(second)[: len(told)]) == (kept, told)
    back = backup(second, tmp_path / "two.crm", key)
    assert {n: c for n, c in back.tables.items() if n not in _MADE} == {n: c for n, c in there.tables.items() if n not in _MADE}
    assert (there.tables["account"].rows, there.tables["lab.thing"].rows) == (10, 4 + HARD_THINGS)
    print(f"\nC82 from {source}: {there.rows} rows there and back, {HARD_THINGS} of hard values, seed {SEED}")
    for crm, place, databases in zip((first, second), places, pair if source == "sqlite" else pair[::-1], strict=True):
        crm.close()
        databases.drop(place)


def test_c74_a_database_with_records_is_refused_and_left_as_it_was(crm: CRM, key: FileKeys, tmp_path: Path) -> None:
    backup(crm, tmp_path / "all.crm", key)
    before = raw(crm)
    with pytest.raises(BackupRefused) as error:
        restore(crm, tmp_path / "all.crm", key)
    assert error.value.code == "backup_not_empty"
    assert raw(crm) == before


def test_c74_force_puts_the_backup_in_the_place_of_what_is_there(crm: CRM, key: FileKeys, tmp_path: Path) -> None:
    before, told = raw(crm, without=_MADE), journal(crm)
    backup(crm, tmp_path / "all.crm", key)
    with crm.session(system("third")) as s:
        s.create_many([Account(name=f"new {n}") for n in range(5)])
    crm.run_pending()
    restore(crm, tmp_path / "all.crm", key, force=True)
    assert raw(crm, without=_MADE) == before
    assert journal(crm)[: len(told)] == told
    assert crm.run_pending() == 2


def test_c74_rows_that_do_not_read_back_as_they_were_are_not_committed(
    crm: CRM, empty: Empty, key: FileKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that keeps something else than it was given: a trigger of the host's changes a name."""
    backup(crm, tmp_path / "all.crm", key)
    other = empty()
    other.migrate()
    before = raw(other)
    if other.bound.kind == "sqlite":
        statements = ["CREATE TRIGGER spoil AFTER INSERT ON crm_lab_part BEGIN UPDATE crm_lab_part SET name = 'x' WHERE id = new.id; END"]
    else:
        function = "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name = ''x''; RETURN NEW; END'"
        statements = [function, "CREATE TRIGGER spoil BEFORE INSERT ON crm_lab_part FOR EACH ROW EXECUTE FUNCTION spoil()"]
    with other.bound.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    with pytest.raises(BackupRefused) as error:
        restore(other, tmp_path / "all.crm", key)
    assert (error.value.code, error.value.params) == ("backup_differs", {"tables": ["lab.part"]})
    assert raw(other) == before


def test_c74_every_table_is_in_a_backup_or_made_anew(crm: CRM) -> None:
    names = named(crm.tables)
    assert set(names) == set(crm.tables.metadata.tables.values())
    assert len(set(names.values())) == len(names)
    assert {part.name for part in Layout.of(crm.tables).parts} == set(names.values()) - MADE_ANEW
    assert set(names.values()) >= MADE_ANEW


def test_c74_a_backup_without_the_plugin_of_some_tables_is_refused(crm: CRM, key: FileKeys, tmp_path: Path) -> None:
    less = CRM(crm.url)
    with pytest.raises(BackupRefused) as error:
        backup(less, tmp_path / "less.crm", key)
    less.close()
    assert (error.value.code, error.value.params) == ("backup_plugins_missing", {"plugins": ["lab"]})
    assert not (tmp_path / "less.crm").exists()


def test_c74_a_backup_of_a_plugin_that_is_not_loaded_is_refused(crm: CRM, databases: Databases, key: FileKeys, tmp_path: Path) -> None:
    backup(crm, tmp_path / "all.crm", key)
    database = databases.create()
    less = CRM(database.url)
    with pytest.raises(BackupRefused) as error:
        restore(less, tmp_path / "all.crm", key)
    less.close()
    assert counts_of(database) == {}
    databases.drop(database)
    assert (error.value.code, error.value.params["table"]) == ("backup_unknown_table", "lab.part")


def counts_of(database: Database) -> dict[str, int]:
    crm = CRM(database.url)
    found = counts(crm)
    crm.close()
    return found


def test_c74_a_schema_that_does_not_fit_the_code_is_said(make_crm: MakeCRM, key: FileKeys, tmp_path: Path) -> None:
    crm: CRM = make_crm(plugins=[lab])
    version: Any = crm.migrations._version
    with crm.bound.begin() as connection:
        connection.execute(update(version).where(version.c.plugin == "lab").values(revision="declared.other"))
    with pytest.raises(SchemaBehind):
        backup(crm, tmp_path / "all.crm", key)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
