"""R3: no room is left, at every stage of a write and of delivery: a typed error, nothing partial, and on when there is room again."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from crm_core import CRM
from crm_core.errors import CRMError
from crm_core.storage import sqlite
from crm_core.testing.databases import Database, SQLiteDatabases
from tests.children import start
from tests.events.boxes import Box
from tests.events.world import ADMIN, World, box_plugin, recorder, world
from tests.faults.ledger import found
from tests.faults.processes import write_until_files_are_full
from tests.figures import LONG, figure

BAR = "typed error, nothing partial, goes on without restart"


def made_world(database: Database) -> World:
    plugin = box_plugin()
    recorder(plugin)
    return world(database, plugin)


def refused(work: Callable[[], object]) -> str:
    """Return the code of the error, or nothing."""
    try:
        work()
    except CRMError as e:
        return e.code
    return ""


def write(w: World, name: str) -> None:
    """Create twenty boxes under a key, and change one."""
    with w.crm.session(ADMIN, idempotency_key=name) as s:
        boxes = s.create_many([Box(name=f"{name}-{n}") for n in range(20)]).ok
        s.update(Box, boxes[0].id, {"size": 1})


def check(w: World, name: str, was_refused: bool) -> None:
    """See that the boxes are all there or none, and that every event has its effect once, in order."""
    with w.crm.session(ADMIN, write=False) as s:
        boxes = s.query(Box).where(Box.name.startswith(f"{name}-")).order_by(Box.id).all()
    assert len(boxes) == (0 if was_refused else 20)
    assert (w.crm.outcome(name) is None) is was_refused
    for n, box in enumerate(boxes):
        assert [e.what for e in w.effects(box)] == ["created", "updated"][: 1 + (n == 0)]


def case(w: World, name: str, fill: Callable[[], None], free: Callable[[], None]) -> list[str]:
    """Write and deliver while there is no room, then again when there is; return the codes of what was refused."""
    fill()
    codes = [refused(lambda: write(w, name)), refused(w.crm.run_pending)]
    free()
    w.later(days=1)
    w.crm.run_pending()
    check(w, name, bool(codes[0]))
    if codes[0]:
        write(w, name)
        w.crm.run_pending()
        check(w, name, False)
    return [code for code in codes if code]


def test_an_sqlite_that_may_not_grow(sqlite_databases: SQLiteDatabases, caplog: pytest.LogCaptureFixture) -> None:
    """The limit is one page further each time, so that every stage meets it."""
    caplog.set_level(logging.CRITICAL)
    database = sqlite_databases.create()
    w = made_world(database)
    limit = [2**30]
    sa.event.listen(w.crm.bound.engine.pool, "checkout", lambda c, *_: sqlite.run(c, f"PRAGMA max_page_count = {limit[0]}"))

    def fill(more: int) -> None:
        with w.crm.bound.begin(write=False) as connection:
            limit[0] = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one()) + more

    codes: list[str] = []
    cases = range(0, 16, 1 if LONG else 4)
    for more in cases:
        codes += case(w, f"p{more}", lambda more=more: fill(more), lambda: limit.__setitem__(0, 2**30))  # type: ignore[misc]
    assert set(codes) == {"disk_full"}
    result = f"held; refused {len(codes)} times"
    figure("R3 disk full, max_page_count", database=f"sqlite {sqlite3.sqlite_version}", cases=len(cases), result=result, bar=BAR)
    w.crm.close()
    sqlite_databases.drop(database)


def test_an_sqlite_whose_file_system_is_full(sqlite_databases: SQLiteDatabases) -> None:
    """A process may not write beyond so many bytes of a file; then it may, and goes on."""
    limits = range(650_000, 900_000, 7_000 if LONG else 80_000)
    rows = 0
    for limit in limits:
        database = sqlite_databases.create()
        crm = CRM(database.url)
        crm.migrate()
        ((done, code),) = start(write_until_files_are_full, crm.url, limit).rest()
        assert code in ("disk_failed", "disk_full")
        left = found(crm)
        left.check([*done, "again"])
        assert len(left.names) == len(done) + 1
        rows += left.rows
        crm.close()
        sqlite_databases.drop(database)
    figure("R3 disk full, RLIMIT_FSIZE", database=f"sqlite {sqlite3.sqlite_version}", cases=len(limits), rows=rows, result="held", bar=BAR)


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_a_postgresql_whose_disk_is_full(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The server itself says 53100 where a table would grow, each table in turn."""
    caplog.set_level(logging.CRITICAL)
    w = made_world(database)

    def run(*statements: str) -> None:
        with w.crm.bound.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    run(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'No space left on device' USING ERRCODE = 'disk_full'; END $$"
    )
    stages = ["box_box", "box_effect", "crm_journal", "crm_idempotency", "crm_journal_position", "crm_subscription", "crm_parking"]
    codes: dict[str, list[str]] = {}
    for stage in stages:
        table = stage if stage.startswith("crm_") else f"crm_{stage}"
        codes[stage] = case(
            w,
            stage,
            lambda table=table: run(  # type: ignore[misc]  # bound by its default
                f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION full_disk()"
            ),
            lambda table=table: run(f"DROP TRIGGER full_disk ON {table}"),  # type: ignore[misc]
        )
    assert {code for found in codes.values() for code in found} == {"disk_full"}
    for stage in ("box_box", "crm_journal", "crm_idempotency", "crm_journal_position", "crm_subscription"):
        assert codes[stage], stage
    result = f"held at {len(stages)} tables; refused {sum(map(len, codes.values()))} times"
    figure("R3 disk full", database="postgresql 18", cases=len(stages), rows=20 * len(stages), result=result, bar=BAR)
    w.crm.close()
