"""[C74, C82] An archive and code of other versions: older, newer, a plugin missing or more, a field that is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crm_core import CRM, Account, Entity, Field, Plugin, Session, field
from crm_core.backup import BackupRefused, backup, drill, move, restore
from crm_core.hooks.registry import Registry
from crm_core.storage.revisions.freeze import freeze
from crm_core.testing.databases import Database, Databases
from tests.backup.world import plain, raw, system
from tests.lifecycle.club import Member, club, visits

At = Callable[..., CRM]


@pytest.fixture
def at(databases: Databases) -> Iterator[At]:
    """Open a CRM with plugins, on a database of its own or on another's."""
    made: list[CRM] = []
    places: list[Database] = []

    def opened(*plugins: Plugin, on: CRM | None = None) -> CRM:
        if on is None:
            places.append(databases.create())
        made.append(CRM(places[-1].url if on is None else on.url, plugins=plugins))
        return made[-1]

    yield opened
    for crm in made:
        crm.close()
    for place in places:
        databases.drop(place)


def boats(package: str, version: str, *, flag: bool = False, crew: bool = False, gone: bool = False) -> Plugin:
    plugin = Plugin("boats", version=version, package=package)
    names: dict[str, Any] = {"name": Field[str]} | ({"flag": Field[str | None]} if flag else {}) | ({"crew": Field[int]} if crew else {})
    values: dict[str, Any] = ({"flag": field(default=None)} if flag else {}) | ({"crew": field(default=4)} if crew else {})
    if not gone:
        made: Any = type(Entity)
        plugin.entities(made("Boat", (Entity,), {"__annotations__": names, "__module__": __name__, **values}))
    return plugin


def filled(crm: CRM, **values: Any) -> CRM:
    crm.migrate()
    with crm.session(system()) as s:
        s.create(crm.entity("boats.boat")(name="Titania", **values))
    return crm


def test_c74_a_plugin_whose_revision_is_older_than_the_cores_is_brought_up_to_date(at: At, package: str, tmp_path: Path) -> None:
    """A plugin's revision between its archive's and the core's was applied before the rows came, and the archive refused."""
    freeze(Registry([boats(package, "1.0")]), "2026.3", ["boats"])
    old = filled(at(boats(package, "1.0")))
    backup(old, tmp_path / "old.crm", plain=True)
    later = boats(package, "1.1", crew=True)
    freeze(Registry([later]), "2026.9", ["boats"])
    new = at(later)
    restore(new, tmp_path / "old.crm")
    new.migrations.check()
    with new.session(system()) as s:
        assert [(b.name, b.crew) for b in s.query(new.entity("boats.boat")).all()] == [("Titania", 4)]
    assert drill(new, tmp_path / "old.crm").rows
    moved = at(later)
    with pytest.raises(BackupRefused) as error:
        restore(filled(at(later)), tmp_path / "old.crm", force=True)
    assert error.value.code == "backup_schema"
    move(old, moved)
    assert [b["crew"] for b in plain(moved)["Boat"]] == [4]


def test_c74_values_that_no_code_declares_any_more_are_told_when_they_are_left_out(
    at: At, package: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The backup of a plugin that had lost a field, or an entity, was made without its values, and so were moves, and nobody heard."""
    caplog.set_level(logging.WARNING, "crm_core.backup")
    whole = boats(package, "1.0", flag=True)
    freeze(Registry([whole]), "2026.3", ["boats"])
    crm = filled(at(whole), flag="red")
    backup(crm, tmp_path / "whole.crm", plain=True)
    assert [r for r in caplog.records if r.name == "crm_core.backup"] == []
    without = boats(package, "1.1")
    for plugin, left_out in ((without, ["crm_boats_boat.flag"]), (boats(package, "1.1", gone=True), ["crm_boats_boat"])):
        less = at(plugin, on=crm)
        for work in (partial(backup, less, tmp_path / "less.crm", plain=True, force=True), partial(move, less, at(plugin))):
            caplog.clear()
            work()
            [told] = [r.crm_facts for r in caplog.records if r.name == "crm_core.backup"]  # type: ignore[attr-defined]
            assert told == {"left_out": left_out}
        for refused in (restore, drill):
            with pytest.raises(BackupRefused) as error:
                refused(at(plugin), tmp_path / "whole.crm")
            assert error.value.code == "backup_unknown_table"
    back = at(whole)
    restore(back, tmp_path / "whole.crm")
    assert plain(back) == plain(crm)


def test_c74_what_stands_beside_kept_data_is_not_replaced_and_a_plugin_more_is_made_ready(at: At, tmp_path: Path) -> None:
    """Rows of a plugin whose code is not here would stay, of records that went."""
    crm = at(club([]))
    crm.migrate()
    with crm.session(system()) as s:
        s.create(Member(account=s.create(Account(name="A")).ref, number="1"))
    backup(crm, tmp_path / "club.crm", plain=True)
    with pytest.raises(BackupRefused) as error:
        restore(at(), tmp_path / "club.crm")
    assert error.value.code == "backup_unknown_table"
    more = at(club([]), visits())
    restore(more, tmp_path / "club.crm")
    more.migrations.check()
    assert drill(more, tmp_path / "club.crm").rows
    with more.session(system()) as s:
        assert [m.number for m in s.query(Member).all()] == ["1"]
    crm.plugins.uninstall("club", keep_data=True)
    bare = at(on=crm)
    backup(bare, tmp_path / "bare.crm", plain=True)
    before = raw(bare)
    for force in (False, True):
        with pytest.raises(BackupRefused) as error:
            restore(bare, tmp_path / "bare.crm", force=force)
        assert (error.value.code, error.value.params) == ("backup_plugins_missing", {"plugins": ["club"]})
    with pytest.raises(BackupRefused) as error:
        move(at(on=crm), bare)
    assert error.value.code == "backup_plugins_missing"
    assert raw(bare) == before
    moved = at()
    move(bare, moved)
    again = at(club([]), on=moved)
    assert again.plugins.install("club")
    with again.session(system()) as s:
        assert (s.query(Member).count(), s.query(Account).count()) == (0, 1)


def test_c74_a_data_migration_of_newer_code_runs_on_what_was_restored(at: At, package: str, tmp_path: Path) -> None:
    freeze(Registry([boats(package, "1.0")]), "2026.3", ["boats"])
    old = filled(at(boats(package, "1.0")))
    old.run_pending()
    backup(old, tmp_path / "old.crm", plain=True)
    later = boats(package, "2.0", flag=True)
    later.grants("boats.boat:read,update")

    @later.data_migration("2.0")
    def colours(s: Session) -> None:
        for each in s.query(new.entity("boats.boat")).all():
            s.update(type(each), each.id, {"flag": "red"})

    freeze(Registry([later]), "2027.2", ["boats"])
    new = at(later)
    restore(new, tmp_path / "old.crm")
    new.migrate()
    assert [b["flag"] for b in plain(new)["Boat"]] == ["red"]
