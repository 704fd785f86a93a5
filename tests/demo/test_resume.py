"""The demonstration survives power cuts: killed after each step and within some, it goes on to the same end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from sqlalchemy import inspect, select

from crm_core import CRM
from crm_core.entities.meta import spec
from crm_core.testing.databases import Database, Databases
from crm_demo.command import demo, journal_rows
from crm_demo.company import Company
from crm_demo.play import begin, play, progress
from crm_demo.story import STORY
from crm_demo.year import year
from crm_erp_bridge.api import Invoice, Order, Payment
from tests.children import start
from tests.demo.cutting import CUT, play_until_the_cut, run_until_the_cut

DAYS = 1
# Ids, and the hashes of secrets that are drawn like ids.
UUID = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}-?[0-9a-f]{4}-?7[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def test_killed_after_each_step_and_in_some_it_comes_to_the_same_end(databases: Databases, database: Database, tmp_path: Path) -> None:
    other = databases.create()
    undisturbed = Company(other.url, 7, tmp_path / "undisturbed")
    undisturbed.crm.migrate()
    steps = [*STORY, *year(DAYS)]
    play(undisturbed, steps)
    kills = 0
    for done, step in enumerate(steps):
        cuts = ["before its mark"] if done % 4 == 1 or not step.joined else []
        for when in ["at the ERP", *cuts] if step.name == "invoice" else cuts:
            assert start(play_until_the_cut, database.url, DAYS, when, tmp_path / "cut").ended() == CUT
            kills += 1
            assert progress(database.url).steps == done, "a step that was cut off left nothing"
        assert start(play_until_the_cut, database.url, DAYS, "after it", tmp_path / "cut").ended() == CUT
        kills += 1
        assert progress(database.url).steps == done + 1
    came = begin(database.url, 7, DAYS)
    assert came.lives == kills, "each life is counted, so that no two make the same ids"
    resumed = Company(database.url, 7, tmp_path / "cut", lives=came.lives, now=came.clock)
    play(resumed, steps)
    print(f"\n{resumed.crm.bound.kind}: {len(steps)} steps, {kills} kills, {len(_journal(resumed.crm))} journal rows, seed 7")
    assert _journal(resumed.crm) == _journal(undisturbed.crm)
    assert _content(resumed.crm) == _content(undisturbed.crm)
    assert _traded(resumed) == _traded(undisturbed)
    resumed.close()
    undisturbed.close()
    databases.drop(other)


def test_killed_while_it_trades_with_the_erp_it_goes_on_once_the_dead_lease_is_over(tmp_path: Path) -> None:
    db = tmp_path / "shop.db"
    assert start(run_until_the_cut, "ERP", db).ended() == CUT
    for options, words in ((["--days", "2"], "--days 1"), (["--days", "1", "--seed", "8"], "--seed 7")):
        other = CliRunner().invoke(demo, [*options, "--db", str(db)])
        assert (other.exit_code, words in other.output) == (1, True), "it says what it was begun with"
    done = CliRunner().invoke(demo, ["--days", "1", "--db", str(db)])
    assert done.exit_code == 0, done.output
    assert "Going on after step 5" in done.output
    assert db.with_suffix(".html").exists()


def test_killed_before_its_report_it_writes_the_report_and_nothing_else(tmp_path: Path) -> None:
    db = tmp_path / "shop.db"
    assert start(run_until_the_cut, "report", db).ended() == CUT
    report, rows = db.with_suffix(".html"), _rows(db)
    assert not report.exists()
    done = CliRunner().invoke(demo, ["--days", "1", "--db", str(db)])
    assert done.exit_code == 0, done.output
    assert report.read_text(encoding="utf-8").endswith("</html>\n")
    assert _rows(db) == rows
    again = CliRunner().invoke(demo, ["--days", "1", "--db", str(db)])
    assert (again.exit_code, "--force" in again.output) == (1, True)


def _rows(db: Path) -> int:
    company = Company(f"sqlite:///{db}", 7, db.with_suffix("") / "erp")
    try:
        return journal_rows(company.crm)
    finally:
        company.close()


def _journal(crm: CRM) -> list[tuple[str, ...]]:
    """Return the journal without the bridge's own rows, whose keys are made of ids; each id is called by its place in it."""
    table = crm.tables.system.journal
    columns = [c for c in table.c if c.name not in ("id", "xid", "event")]
    with crm.bound.begin(write=False) as connection:
        rows = connection.execute(select(*columns).where(table.c.plugin != "erp_bridge").order_by(table.c.id)).all()
    names: dict[str, str] = {}
    return [tuple(_named(value, names) for value in row) for row in rows]


def _content(crm: CRM) -> dict[str, list[str]]:
    """Return what is in the tables of the entities, without the ids themselves."""
    with crm.bound.begin(write=False) as connection:
        tables = {e.__name__: t for e, t in crm.tables.entities.items() if not spec(e).name.startswith("erp_bridge.")}
        assert {t.name for t in tables.values()} <= {*inspect(connection).get_table_names()}
        return {
            name: sorted(UUID.sub("#", repr(tuple(row))) for row in connection.execute(select(table))) for name, table in tables.items()
        }


def _traded(company: Company) -> list[tuple[str, str, list[str]]]:
    """Return what the ERP's facts say: each order, invoice and payment once, to the cent."""
    facts: tuple[tuple[Any, str], ...] = ((Order, "total"), (Invoice, "open_amount"), (Payment, "amount"))
    with company.session() as s:
        return [(e.__name__, name, sorted(str(getattr(fact, name)) for fact in s.query(e).all())) for e, name in facts]


def _named(value: Any, names: dict[str, str]) -> str:
    return UUID.sub(lambda found: names.setdefault(found[0].replace("-", ""), f"#{len(names)}"), repr(value))
