"""``crm plugin lock``, ``freeze`` and ``manifest``, ``crm plugins`` and ``crm plugins order``: what runs, and what it promises."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run

PLUGIN = """
import attrs
from crm_core import Entity, Event, Field, Plugin, Ref, Session, field

plugin = Plugin("shop", version="1.0.0", package="crm_shop_x")

class Order(Entity):
    number: Field[str] = field(unique=True)

class Sent(Event[Order], name="shop.sent", version=1):
    weight: int

plugin.entities(Order)
plugin.events(Sent)
"""


@pytest.fixture
def shop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a plugin: the file of its code."""
    package = folder / "crm_shop_x"
    package.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "shop"\n[project.entry-points."crm.plugins"]\nshop = "crm_shop_x:plugin"\n')
    (package / "__init__.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(folder))
    yield package / "__init__.py"
    sys.modules.pop("crm_shop_x", None)


def edit(code: Path, old: str, new: str) -> None:
    """Change the plugin's code, which the next command reads anew."""
    written = code.stat().st_mtime
    code.write_text(code.read_text().replace(old, new))
    os.utime(code, (written + 2, written + 2))  # Python tells what it compiled from new code by its length and its second
    sys.modules.pop("crm_shop_x", None)
    importlib.invalidate_caches()


def test_a_lock_is_written_once_and_then_compared(crm: Run, shop: Path) -> None:
    missing = crm("plugin", "lock", "--check")
    assert (missing.exit_code, "Write it anew" in missing.stderr or "write it anew" in missing.stderr) == (1, True)
    assert crm("plugin", "lock").exit_code == 0
    document = json.loads((shop.parent / "plugin.json").read_text())
    assert document["entities"] == {"shop.order": {"fields": {"number": "str(255), unique"}, "table": "shop_order"}}
    payloads = document["events"]["shop.sent"].pop("payloads")
    assert (list(payloads), list(payloads["1"])) == (["1"], ["weight"])
    assert document["events"] == {"shop.sent": {"fields": {"weight": "int"}, "reads": ["1"], "record": "shop.order", "version": "1"}}
    assert crm("plugin", "lock", "--check").exit_code == 0


def test_what_others_can_live_with_is_said_and_written(crm: Run, shop: Path) -> None:
    crm("plugin", "lock")
    edit(shop, "weight: int", "weight: int\n    parcels: int = 1\n")
    checked = crm("plugin", "lock", "--check")
    assert checked.exit_code == 1
    assert "New: events shop.sent fields parcels: int = 1. Others can live with it." in checked.stdout
    assert "不影响他人" in crm("plugin", "lock", "--check", "--lang", "zh").stdout
    assert crm("plugin", "lock").exit_code == 0
    assert crm("plugin", "lock", "--check").exit_code == 0


def test_what_breaks_others_is_written_only_where_the_version_says_so(crm: Run, shop: Path) -> None:
    crm("plugin", "lock")
    before = (shop.parent / "plugin.json").read_text()
    edit(shop, "weight: int", "grams: int")
    refused = crm("plugin", "lock")
    assert refused.exit_code == 1
    assert "Breaking: events shop.sent fields weight is gone, it was int." in refused.stdout
    assert "nothing was written" in refused.stderr
    assert (shop.parent / "plugin.json").read_text() == before
    edit(shop, '"1.0.0"', '"2.0.0"')
    assert crm("plugin", "lock").exit_code == 0
    assert '"grams": "int"' in (shop.parent / "plugin.json").read_text()


def test_the_payload_that_a_version_wrote_is_kept_when_the_next_one_comes_and_may_be_a_real_one(crm: Run, shop: Path) -> None:
    crm("plugin", "lock")
    lock = shop.parent / "plugin.json"
    document = json.loads(lock.read_text())
    document["events"]["shop.sent"]["payloads"]["1"] = {"weight": 4711}  # as one in a journal
    lock.write_text(json.dumps(document))
    assert crm("plugin", "lock", "--check").exit_code == 0
    upcast = "weight: int\n    by: str\n\n@Sent.upcast(1)\ndef by_none(old):\n    return {**old, 'by': ''}\n"
    edit(shop, "version=1):\n    weight: int", f"version=2):\n    {upcast}")
    assert crm("plugin", "lock").exit_code == 0
    kept = json.loads(lock.read_text())["events"]["shop.sent"]["payloads"]
    assert (list(kept), kept["1"], list(kept["2"])) == (["1", "2"], {"weight": 4711}, ["by", "weight"])


MIGRATION = """
@plugin.data_migration("1.0.0")
def number_all(session: Session) -> None:
    for order in session.query(Order).stream():
        order.number = order.id
        session.save(order)
"""


def test_a_released_data_migration_that_goes_or_does_something_else_is_a_break(crm: Run, shop: Path) -> None:
    shop.write_text(PLUGIN + MIGRATION)
    crm("plugin", "lock")
    edit(shop, "order.number = order.id", "order.number   =   order.id")
    assert crm("plugin", "lock", "--check").exit_code == 0  # it is formatted otherwise, and does the same
    edit(shop, "order.id\n", "order.id[:8]\n")
    other = crm("plugin", "lock")
    assert other.exit_code == 1
    assert "Breaking: data_migrations shop.number_all: was 1.0.0, code " in other.stdout
    shop.write_text(PLUGIN)
    sys.modules.pop("crm_shop_x")
    gone = crm("plugin", "lock")
    assert gone.exit_code == 1
    assert "Breaking: data_migrations shop.number_all is gone, it was 1.0.0, code " in gone.stdout
    assert "nothing was written" in gone.stderr


def test_a_new_field_that_has_to_be_given_is_a_break_of_those_who_create_records(crm: Run, shop: Path) -> None:
    crm("plugin", "lock")
    edit(shop, "unique=True)", "unique=True)\n    weight: Field[int]\n")
    refused = crm("plugin", "lock")
    assert refused.exit_code == 1
    assert "Breaking: entities shop.order fields weight is new, and has to be given: int. Calls that create" in refused.stdout
    edit(shop, "Field[int]", "Field[int] = field(default=0)")
    assert crm("plugin", "lock").exit_code == 0


def test_a_break_that_is_meant_can_be_forced(crm: Run, shop: Path) -> None:
    crm("plugin", "lock")
    edit(shop, "weight: int", "grams: int")
    assert crm("plugin", "lock", "--force").exit_code == 0
    assert crm("plugin", "lock", "--check").exit_code == 0


def test_a_file_that_is_no_plugin_json_is_said_to_be_none(crm: Run, shop: Path) -> None:
    for wrong in ("{", "[]", "{}"):
        (shop.parent / "plugin.json").write_text(wrong)
        assert "is no plugin.json" in crm("plugin", "lock").stderr


def test_outside_of_a_plugins_project_the_commands_say_where_to_run_them(crm: Run, folder: Path) -> None:
    assert "names no plugin" in crm("plugin", "lock").stderr
    assert "names no plugin" in crm("plugin", "freeze").stderr


def test_the_tables_of_a_release_are_frozen(crm: Run, shop: Path) -> None:
    revisions = shop.parent / "revisions"
    assert crm("plugin", "freeze", "--revision", "2026.11").stdout.strip().endswith("2026.11.json")
    assert "shop_order" in (revisions / "2026.11.json").read_text()
    assert crm("plugin", "freeze", "--revision", "2026.12").stdout == ""  # nothing new
    edit(shop, "unique=True)", "unique=True)\n    note: Field[str | None] = field(default=None)\n")
    refused = crm("plugin", "freeze", "--revision", "2026.11")
    assert (refused.exit_code, "2026.11 is not later" in refused.stderr) == (1, True)
    assert "such as 2026.11.2" in refused.stderr
    assert "note" not in (revisions / "2026.11.json").read_text()
    assert crm("plugin", "freeze", "--revision", "2026.12").stdout.strip().endswith("2026.12.json")


def test_a_revision_that_was_not_released_is_written_anew(crm: Run, shop: Path) -> None:
    first = crm("plugin", "freeze").stdout
    edit(shop, "unique=True)", "unique=True)\n    note: Field[str | None] = field(default=None)\n")
    assert crm("plugin", "freeze", "--again").stdout == first
    assert "CreateTable" in (text := Path(first.strip()).read_text())
    assert "note" in text


def test_a_second_release_in_a_month_has_a_number_behind_it(crm: Run, shop: Path) -> None:
    first = Path(crm("plugin", "freeze").stdout.strip())
    for number, field in enumerate(("note", "mark"), 2):
        edit(shop, "unique=True)", f"unique=True)\n    {field}: Field[str | None] = field(default=None)\n")
        assert Path(crm("plugin", "freeze").stdout.strip()) == first.with_name(f"{first.stem}.{number}.json")
    edit(shop, "unique=True)", "unique=True)\n    size: Field[str | None] = field(default=None)\n")
    assert crm("plugin", "freeze", "--again").stdout.strip() == str(first.with_name(f"{first.stem}.3.json"))  # the newest alone


@pytest.mark.parametrize("name", ["two", "2026-11", "2026.", "../2027"])
def test_what_is_no_name_of_a_revision_is_said(crm: Run, shop: Path, name: str) -> None:
    refused = crm("plugin", "freeze", "--revision", name)
    assert (refused.exit_code, f"{name} is no name of a revision" in refused.stderr) == (1, True)
    again = crm("plugin", "freeze", "--again", "--revision", name)
    assert (again.exit_code, f"{name} is no name of a revision" in again.stderr) == (1, True)


def test_a_plugin_that_cannot_be_imported_is_listed_with_what_it_brings(crm: Run, shop: Path, folder: Path, tmp_path: Path) -> None:
    crm("plugin", "lock")
    points = tmp_path / "site" / "some_vendor-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "shop = crm_shop_x:plugin\n")
    edit(shop, PLUGIN, "raise RuntimeError('no licence')")
    rows = [line.split() for line in crm("plugins").stdout.splitlines()]
    assert ["shop", "1.0.0", "shop", "1", "entities,", "1", "events"] in rows
    assert "crm_shop_x" not in sys.modules
    assert json.loads(crm("plugin", "manifest", "shop").stdout)["entities"]["shop.order"]["table"] == "shop_order"
    assert "Did you mean shop?" in crm("plugin", "manifest", "shopp").stderr


def test_a_plugin_without_a_manifest_has_none_to_print(crm: Run, shop: Path, tmp_path: Path) -> None:
    points = tmp_path / "site" / "some_vendor-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "shop = crm_shop_x:plugin\n")
    assert "brings no plugin.json" in crm("plugin", "manifest", "shop").stderr


ORDER = """
from crm_core import CRM, Account, Change, Plugin, WriteCtx, before_write

one = Plugin("one", version="1")
two = Plugin("two", version="1")

@one.hook(before_write{first})
def late(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    return changes

@two.hook(before_write, on=Account, before="one")
def early(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    return changes

@two.hook(before_write, after="three.absent")
def plain(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    return changes

def crm() -> CRM:
    return CRM("sqlite://", plugins=[one, two])
"""


@pytest.fixture
def ordered(folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """An application whose plugins have a say in the order of a hook."""
    (folder / "ordered_x.py").write_text(ORDER.replace("{first}", getattr(request, "param", "")))
    monkeypatch.syspath_prepend(str(folder))
    yield "ordered_x:crm"
    sys.modules.pop("ordered_x", None)


def test_the_order_of_a_hook_is_printed_with_the_reasons(crm: Run, ordered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    lines = crm("plugins", "order", "before_write", "--app", ordered).stdout.splitlines()
    shown = [line.split()[1] for line in lines[1:]]
    assert shown == ["core.check_rules", "core.check_custom_fields", "two.early", "one.late", "two.plain"]
    said = "\n".join(lines)
    assert "It asked to run before one." in said
    assert "three.absent, which is not loaded" in said
    assert "ordered_x.py:7" in said
    assert "automation_rule" in said
    assert "按插件加载顺序" in crm("plugins", "order", "before_write", "--app", ordered, "--lang", "zh").stdout


@pytest.mark.parametrize("ordered", [', before="two"'], indirect=True)
def test_a_circle_is_shown_with_its_path(crm: Run, ordered: str) -> None:
    said = crm("plugins", "order", "before_write", "--app", ordered).stderr
    assert "one.late → two.early → one.late" in said or "two.early → one.late → two.early" in said


def test_a_hook_that_nobody_declares_is_looked_for_in_vain(crm: Run, ordered: str) -> None:
    assert "Did you mean before_write?" in crm("plugins", "order", "before_writ", "--app", ordered).stderr
