"""A later version of a plugin adds fields to its own entity while its table has rows, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core import CRM, Actor, Entity, Field, ListField, Money, MoneyField, Plugin, field
from crm_core.entities.values import Email
from crm_core.errors import Conflict
from crm_core.hooks.registry import Registry
from crm_core.storage.revisions.freeze import freeze
from crm_core.testing.databases import Database
from tests.storage.zoo import differences

pytestmark = pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'", "ignore:Cannot correctly sort tables")
SYSTEM = Actor.system("setup", tenant="main")


class Size(StrEnum):
    SMALL = "small"


def first() -> Plugin:
    class Crate(Entity):
        name: Field[str]

    plugin = Plugin("store", version="1.0")
    plugin.entities(Crate)
    return plugin


def second() -> Plugin:
    class Crate(Entity):
        name: Field[str]
        text: Field[str] = field(default="it's 5%")
        count: Field[int] = field(default=7)
        open: Field[bool] = field(default=True)
        weight: Field[Decimal] = field(default=Decimal("1.25"), scale=3)
        made: Field[date] = field(default=date(2026, 1, 2))
        at: Field[datetime] = field(default=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
        size: Field[Size] = field(default=Size.SMALL)
        price: MoneyField = field(default=Money("9.5", "EUR"))
        notes: Field[dict[str, Any]] = field(factory=dict)
        emails: ListField[Email] = field(factory=list)

    plugin = Plugin("store", version="2.0")
    plugin.entities(Crate)
    return plugin


def demanding() -> Plugin:
    class Crate(Entity):
        name: Field[str]
        code: Field[str]

    plugin = Plugin("store", version="2.0")
    plugin.entities(Crate)
    return plugin


@pytest.fixture(params=["declared", "frozen"])
def store(database: Database, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Open the store's CRM at a version, which a frozen plugin released as a revision of its own."""
    opened: list[CRM] = []
    package = f"{'sqlite' if 'sqlite' in database.url else 'pg'}_store_{tmp_path.name}".replace("-", "_")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def open_(make: Callable[[], Plugin]) -> CRM:
        plugin = make()
        if request.param == "frozen":
            plugin.package = package
            freeze(Registry([plugin]), f"2026.{len(opened) + 1}", ["store"])
        opened.append(CRM(database.url, plugins=[plugin]))
        return opened[-1]

    yield open_
    for crm in opened:
        crm.close()


def test_new_fields_with_defaults_fill_the_rows_that_are_there(store: Any) -> None:
    one = store(first)
    one.migrate()
    with one.session(SYSTEM) as s:
        s.create(one.entity("store.crate")(name="old"))
    two = store(second)
    two.migrate()
    two.migrations.check()
    crate = two.entity("store.crate")
    with two.session(SYSTEM) as s:
        old, fresh = s.query(crate).one(), crate(name="new")
        for name in ("text", "count", "open", "weight", "made", "at", "size", "price", "notes", "emails"):
            assert getattr(old, name) == getattr(fresh, name), name
        s.create(fresh)
        assert s.query(crate).where(crate.weight == Decimal("1.25")).where(crate.open).count() == 2
    assert differences(two.bound, two.tables) == []
    two.migrations.downgrade(None, "store")


def test_a_required_field_is_refused_in_words_where_rows_have_no_value_for_it(store: Any) -> None:
    one = store(first)
    one.migrate()
    with one.session(SYSTEM) as s:
        s.create(one.entity("store.crate")(name="old"))
    two = store(demanding)
    for call in (two.migrations.plan, two.migrate):
        with pytest.raises(Conflict, match="The column code of crm_store_crate is required") as error:
            call()
        assert error.value.code == "column_needs_default"
    with one.session(SYSTEM) as s:
        s.delete(s.query(one.entity("store.crate")).one())
    with two.bound.begin() as connection:
        connection.execute(sa.delete(one.table(one.entity("store.crate"))))
    two.migrate()
    two.migrations.check()


def test_what_fills_rows_is_frozen_with_the_added_column_alone(store: Any, tmp_path: Path) -> None:
    store(first)
    if store(second).registry.plugin("store").package:
        files = sorted(tmp_path.rglob("revisions/*.json"))
        assert [("fill" in f.read_text()) for f in files] == [False, True]
        added = {s["column"]["name"]: s["column"] for s in json.loads(files[1].read_text()) if s["step"] == "AddColumn"}
        assert added["weight"]["fill"] == "1.25"
