"""Rows become records through the same door as everything else, once, and every row is accounted for [C67]."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from crm_core import (
    Account,
    Actor,
    Contact,
    Money,
    Phone,
)
from crm_core.io import Importer, mapping_of
from crm_core.testing.state import state_hash
from tests.io.deals import DEALS, IMPORT, Deal, Facts, Import, Size, add_account, codes, counts, deals


def test_rows_become_records_and_a_second_time_nothing_changes(crm: Any, bring: Import) -> None:
    add_account(crm, "Acme")
    rows = "id,name,account,amount\n1,One,Acme,10\n2,Two,,20.5\n"
    first = bring(rows)
    assert (counts(first), first.committed, first.empty) == ((2, 0, 0, 0), True, {"account": 1})
    found = deals(crm)
    assert (found["t:1"].amount, found["t:2"].amount) == (Money(10, "EUR"), Money("20.5", "EUR"))
    assert [found["t:1"].account is None, found["t:2"].account is None] == [False, True]
    before = state_hash(crm)
    assert counts(bring(rows)) == (0, 0, 2, 0)
    assert state_hash(crm) == before


def test_what_differs_is_changed_with_a_journal_row_each_and_an_empty_cell_takes_nothing_away(crm: Any, bring: Import) -> None:
    add_account(crm, "Acme")
    bring("id,name,account,amount\n1,One,Acme,10\n2,Two,Acme,20\n3,Three,,30\n")
    assert counts(bring("id,name,account,amount\n1,Uno,,10\n2,Two,,20\n3,Three,Acme,31\n")) == (0, 2, 1, 0)
    found = deals(crm)
    assert [(d.name, d.version, d.account is not None) for d in found.values()] == [("Uno", 2, True), ("Two", 1, True), ("Three", 2, True)]
    with crm.session(IMPORT, write=False) as s:
        journal = crm.tables.system.journal
        kinds = select(journal.c.kind, func.count()).where(journal.c.entity == "trade.deal").group_by(journal.c.kind)
        rows = dict(s._unit.connection.execute(kinds).all())
        assert rows == {"trade.deal.created.v1": 3, "trade.deal.updated.v1": 2}
        reasons = select(journal.c.reason).where(journal.c.entity == "trade.deal").distinct()
        assert list(s._unit.connection.execute(reasons).scalars()) == ["import rows.csv"]


def test_the_currency_may_stand_in_a_column_of_its_own(crm: Any, bring: Import) -> None:
    amount = {"column": "amount", "currency_column": "unit", "currency": "EUR", "decimal": ","}
    report = bring("id;name;amount;unit\n1;a;1,5;USD\n2;b;2;\n3;c;3;XQX\n", {"key": "{id}", "fields": {"name": "name", "amount": amount}})
    assert [str(d.amount) for d in deals(crm).values()] == [str(Money("1.5", "USD")), str(Money(2, "EUR"))]
    assert codes(report) == [(4, "amount", "bad_currency")]


def test_rows_that_change_alike_are_changed_together_and_one_by_one_where_one_of_them_may_not(crm: Any, bring: Import) -> None:
    rep = Actor("7", roles={"mover"})
    add_account(crm, "Acme")
    bring("id,name,account,amount\n1,One,,10\n2,Two,,20\n3,Three,,30\n")
    report = bring("id,name,account,amount\n1,New,,10\n2,New,,20\n3,New,,30\n", actor=rep)
    assert (counts(report), [f.line for f in report.failures]) == ((0, 2, 0, 1), [4])
    assert [d.name for d in deals(crm).values()] == ["New", "New", "Three"]


def test_an_import_within_a_session_is_kept_or_lost_with_it(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,name,account,amount\n1,One,,10\n2,Two,,x\n")
    importer = Importer(crm, IMPORT, mapping_of(DEALS), entity="deals")
    before = state_hash(crm)
    with pytest.raises(ZeroDivisionError), crm.session(IMPORT) as s:
        assert counts(importer.run(path, within=s)) == (1, 0, 0, 1)
        assert s.query(Deal).count() == 1
        raise ZeroDivisionError
    assert state_hash(crm) == before
    with crm.session(IMPORT) as s:
        assert not importer.run(path, whole=True, within=s).committed
        assert s.query(Deal).count() == 0
        importer.run(path, within=s)
    assert sorted(deals(crm)) == ["t:1"]


def test_of_rows_with_one_key_the_last_one_counts(crm: Any, bring: Import) -> None:
    report = bring("id,name,account,amount\n1,One,,10\n1,Uno,,10\n2,Two,,20\n1,Eins,,10\n")
    assert counts(report) == (2, 2, 0, 0)
    assert deals(crm)["t:1"].name == "Eins"


def test_lists_are_built_of_parts_and_of_separated_cells(crm: Any, bring: Import) -> None:
    mapping = {
        "key": "c:{name}",
        "fields": {
            "name": "name",
            "emails": {"column": "mail", "separator": ";"},
            "phones": "phone",
            "addresses.city": "city",
            "addresses.country": {"column": "country", "values": {"Germany": "de"}},
        },
    }
    rows = "name|mail|phone|city|country\nAnn|Ann@X.com; ann@y.com|+4930123456|Berlin|Germany\nBob||||\nEve|nonsense||Bonn|Germany\n"
    report = bring(rows, mapping, "contacts")
    assert (counts(report), codes(report)) == ((2, 0, 0, 1), [(4, "emails", "bad_email")])
    with crm.session(IMPORT, write=False) as s:
        ann = s.query(Contact).where(Contact.name == "Ann").one()
        assert [e.address for e in ann.emails] == ["ann@x.com", "ann@y.com"]
        assert ann.phones == [Phone("+4930123456", primary=True)]
        assert [(a.city, a.country) for a in ann.addresses] == [("Berlin", "DE")]
    assert counts(bring(rows, mapping, "contacts")) == (0, 0, 2, 1)


def test_fields_of_an_extension_are_imported_under_their_columns_name(crm: Any, bring: Import) -> None:
    mapping = {"key": "{name}", "fields": {"name": "name", "trade_staff": "staff"}}
    assert counts(bring("name,staff\nAcme,12\nBest,\n", mapping, "accounts")) == (2, 0, 0, 0)
    assert counts(bring("name,staff\nAcme,13\nBest,\n", mapping, "accounts")) == (0, 1, 1, 0)
    with crm.session(IMPORT, write=False) as s:
        assert s.query(Account).where(Account.name == "Acme").one()[Facts].staff == 13


def test_json_lines_are_imported_with_their_types(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "deals.jsonl"
    lines = [
        {"id": 1, "name": "One", "amount": {"amount": "1.50", "currency": "EUR"}, "size": "large"},
        {"id": 2, "name": "Two", "amount": 7.25},
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    mapping = {"key": "t:{id}", "fields": {"name": "name", "amount": {"column": "amount", "currency": "USD"}, "size": "size"}}
    assert counts(Importer(crm, IMPORT, mapping_of(mapping), entity="deal").run(path)) == (2, 0, 0, 0)
    found = deals(crm)
    assert [(d.amount, d.size) for d in found.values()] == [(Money("1.5", "EUR"), Size.LARGE), (Money("7.25", "USD"), Size.SMALL)]


def test_progress_is_told_after_each_batch(bring: Import) -> None:
    told: list[tuple[float, int]] = []
    rows = "id,name,account,amount\n" + "".join(f"{n},N,,1\n" for n in range(2000))
    bring(rows, batch=400, progress=lambda done, report: told.append((done, report.created)))
    assert [n for _, n in told] == [400, 800, 1200, 1600, 2000, 2000]
    assert sorted(told) == told
    assert told[-1][0] == 1.0


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6) | st.sampled_from(["1", "2", "13", "x", "1e9", "Acme"])


@given(st.lists(st.tuples(cells, cells, cells, cells), max_size=12), st.integers(1, 5), st.booleans())
def test_whatever_the_cells_are_every_row_is_accounted_for(
    crm: Any, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], batch: int, whole: bool
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerow(["id", "name", "account", "amount"])
        writer.writerows(rows)
    importer = Importer(crm, IMPORT, mapping_of(DEALS), entity="deals")
    before = len(deals(crm))
    report = importer.run(path, batch=batch, whole=whole)
    assert report.rows == len(rows)
    assert report.rows == report.created + report.updated + report.unchanged + report.failed + report.blank
    assert len(deals(crm)) == before + (report.created if report.committed else 0)
    again = importer.run(path, batch=batch)
    assert (again.created if report.committed else 0) == 0
