"""The demonstration survives power cuts: killed after each step and in the middle of some, it goes on to the same end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select

from crm_core import CRM
from crm_core.entities.meta import spec
from crm_demo.company import Company
from crm_demo.play import play, progress
from crm_demo.story import STORY
from crm_demo.year import year
from crm_erp_bridge.api import Invoice, Order, Payment
from tests.databases import Database, Databases

DAYS = 1
# Ids, and the hashes of secrets that are drawn like ids.
UUID = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}-?[0-9a-f]{4}-?7[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}")
# Dies with the process's power: nothing is flushed, rolled back or closed.
CUT = """
import os, sys
from pathlib import Path
from crm_demo.company import Company
from crm_demo.play import Step, play, progress
from crm_demo.story import STORY
from crm_demo.year import year
url, days, early, root = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "early", Path(sys.argv[4])
came = progress(url)
company = Company(url, 7, root, lives=came.steps + 100 * early, now=came.clock)
company.crm.migrate()
steps = [*STORY, *year(days)]
step = steps[came.steps]
def cut(company):
    step.run(company)
    os._exit(9)
if early:
    steps[came.steps] = Step(step.name, cut, step.joined)
play(company, steps, lambda step: os._exit(9))
"""


def test_killed_after_each_step_and_in_some_it_comes_to_the_same_end(databases: Databases, database: Database, tmp_path: Path) -> None:
    other = databases.create()
    undisturbed = Company(other.url, 7, tmp_path / "undisturbed")
    undisturbed.crm.migrate()
    steps = [*STORY, *year(DAYS)]
    play(undisturbed, steps)
    kills = 0
    for done, step in enumerate(steps):
        if done % 4 == 1 or not step.joined:
            kills += _run_until_the_cut(database.url, "early", tmp_path / "cut")
            assert progress(database.url).steps == done, "a step that was cut off left nothing"
        kills += _run_until_the_cut(database.url, "late", tmp_path / "cut")
        assert progress(database.url).steps == done + 1
    resumed = Company(database.url, 7, tmp_path / "cut", lives=99, now=progress(database.url).clock)
    play(resumed, steps)
    print(f"\n{resumed.crm.bound.kind}: {len(steps)} steps, {kills} kills, {len(_journal(resumed.crm))} journal rows, seed 7")
    assert _journal(resumed.crm) == _journal(undisturbed.crm)
    assert _content(resumed.crm) == _content(undisturbed.crm)
    assert _traded(resumed) == _traded(undisturbed)
    resumed.close()
    undisturbed.close()
    databases.drop(other)


def _run_until_the_cut(url: str, when: str, root: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CUT, url, str(DAYS), when, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    return 1


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
