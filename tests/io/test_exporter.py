"""Files out: what an actor may export and nothing else; whole or not at all; and what a file says comes in again as it was."""

from __future__ import annotations

import csv
import json
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core import Account, Actor, Contact, CRMError, Denied, Invalid, Money, ReadOnly, Role, owner
from crm_core.io import Importer, export, mapping_of
from tests.laws.shop import Deal, plugin

SYSTEM = Actor.system("test", tenant="main")
SELLER = Role("seller").allow(Deal, "read").allow(Deal, "export", where=owner).allow(Account, "read", fields={"website": "none"})
READER = Role("reader").allow(Deal, "read").allow(Account, "read")
FIELDS = ["name", "amount", "owner", "account.name"]


@pytest.fixture
def crm(make_crm: Any) -> Any:
    made = make_crm(plugins=[plugin], roles=[SELLER, READER])
    with made.session(SYSTEM) as s:
        acme = s.create(Account(name="Acme, Ltd", website="acme.example"))
        for n, who in enumerate("121"):
            s.create(Deal(name=f"deal {n}", account=acme.ref, amount=Money(f"{n}.50", "EUR"), owner=who))
    return made


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_has_what_the_actor_may_export_and_says_what_it_left_out(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    with crm.session(Actor("1", roles={"seller"})) as s:
        done = export(s, s.query(Deal).order_by(Deal.name), path, fields=FIELDS)
    assert (done.rows, done.withheld, done.fields) == (2, 1, tuple(FIELDS))
    assert rows(path) == [
        {"name": f"deal {n}", "amount": f"{n}.50", "amount_currency": "EUR", "owner": "1", "account.name": "Acme, Ltd"} for n in (0, 2)
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with crm.bound.begin(write=False) as connection:
        journal = crm.tables.system.journal
        (noted,) = connection.execute(sa.select(journal.c.actor, journal.c.payload).where(journal.c.kind == "core.exported.v1")).all()
    assert noted.actor == "1"
    said = noted.payload if isinstance(noted.payload, dict) else json.loads(noted.payload)
    assert (said["rows"], said["withheld"], said["fields"]) == (2, 1, FIELDS)


def test_reading_alone_is_not_exporting(crm: Any, tmp_path: Path) -> None:
    with crm.session(Actor("1", roles={"reader"})) as s, pytest.raises(Denied) as raised:
        export(s, s.query(Deal), tmp_path / "deals.csv")
    assert raised.value.params == {"action": "export", "entity": "shop.deal"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["website", "account.website", "nonsense", "account.nonsense", "account.parent.name", "name.x", ""])
def test_a_field_that_is_hidden_or_not_there_is_refused_before_there_is_a_file(crm: Any, tmp_path: Path, name: str) -> None:
    with crm.session(Actor("1", roles={"seller"})) as s, pytest.raises(Invalid) as raised:
        export(s, s.query(Deal), tmp_path / "deals.csv", fields=["name", name])
    assert raised.value.code == "unknown_field"
    assert list(tmp_path.iterdir()) == []


BROKEN: dict[str, Callable[[Any, Path], object]] = {
    "another form": lambda s, folder: export(s, s.query(Deal), folder / "deals.pdf"),
    "no such folder": lambda s, folder: export(s, s.query(Deal), folder / "nowhere" / "deals.csv"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_written_leaves_no_file_and_no_trace(crm: Any, tmp_path: Path, case: str) -> None:
    with crm.session(SYSTEM) as s, pytest.raises((CRMError, OSError)):
        BROKEN[case](s, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_does_not_write_exports_nothing(crm: Any, tmp_path: Path) -> None:
    """The journal has to say who took what."""
    with crm.session(SYSTEM, write=False) as s, pytest.raises(ReadOnly):
        export(s, s.query(Deal), tmp_path / "deals.csv")
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_a_csv_file_runs_in_a_spreadsheet_and_json_lines_come_in_again_as_they_were(crm: Any, tmp_path: Path) -> None:
    names = ["=HYPERLINK(1)", "+49 30", "-x", "@sum", "'quoted", 'say "hi"; ok', "a\ttab", "名前"]
    with crm.session(SYSTEM) as s:
        s.create_many([Contact(name=n, external_ref=f"x:{i}") for i, n in enumerate(names)])
    for form in ("csv", "jsonl"):
        with crm.session(SYSTEM) as s:
            export(s, s.query(Contact), tmp_path / f"contacts.{form}", fields=["external_ref", "name"])
    assert all(r["name"][0] not in "=+-@" for r in rows(tmp_path / "contacts.csv"))
    mapping = mapping_of({"entity": "contact", "key": "{external_ref}", "fields": {"name": "name"}})
    report = Importer(crm, SYSTEM, mapping).run(tmp_path / "contacts.jsonl")
    assert (report.rows, report.unchanged, report.failed) == (len(names), len(names), 0)


def test_json_lines_are_records_as_the_crm_writes_them(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "deals.jsonl"
    with crm.session(SYSTEM) as s:
        export(s, s.query(Deal).order_by(Deal.name), path)
        expected = [crm.to_json(d) for d in s.query(Deal).order_by(Deal.name).all()]
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [
        {k: v for k, v in record.items() if k != "deleted_at"} for record in expected
    ]


def test_memory_is_bounded_by_a_batch(make_crm: Any, tmp_path: Path) -> None:
    crm = make_crm(roles=[Role("r").allow(Account, "read", "export", where=owner)])
    peaks = []
    for count in (1_000, 4_000):
        with crm.session(SYSTEM) as s:
            s.create_many([Account(name=f"a{n}", owner="1") for n in range(count)])
        with crm.bound.begin() as connection:  # as the server itself does within a minute of so many rows
            connection.exec_driver_sql("ANALYZE")
        tracemalloc.start()
        with crm.session(Actor("1", roles={"r"})) as s:
            done = export(s, s.query(Account), tmp_path / "a.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(f"{crm.bound.kind}: {done.rows} rows, peaks {peaks} bytes")
    assert (done.rows, done.withheld) == (5_000, 0)
    assert peaks[1] < 2 * peaks[0]
