"""Real data: the samples and test files of a widely used loader, with their encodings, marks and times [C67]."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import crm_sales
from crm_core import Account, Actor, Entity, Field, Plugin, field
from crm_core.io import Form, Importer, mapping_of, open_rows
from crm_sales.api import Opportunity

IMPORT = Actor.system("import", tenant="main")
plugin = Plugin("clock", version="1.0.0")


class Moment(Entity):
    name: Field[str]
    at: Field[datetime]
    external_ref: Field[str | None] = field(default=None, unique=True)


plugin.entities(Moment)


@pytest.fixture
def folder(test_data: Callable[[str], Path]) -> Path:
    return test_data("sales/salesforce_dataloader") / "src"


@pytest.fixture
def tests(folder: Path) -> Path:
    return folder / "test" / "resources" / "testfiles" / "data"


def read(path: Path, form: Form | None = None) -> list[dict[str, str]]:
    with open_rows(path, form) as rows:
        return [dict(zip(rows.columns, row.cells, strict=True)) for row in rows if not row.blank]


@pytest.mark.parametrize("name", ["UTF8", "UTF16BE", "UTF16LE", "UTF32BE", "UTF32LE"])
def test_one_text_in_every_encoding_reads_alike(tests: Path, name: str) -> None:
    """Two of the files have the mark of UTF-16 before what is UTF-32."""
    plain = read(tests / "csvtext.csv")
    assert plain == [{f"column{c}": f"row{r}-{c}" for c in (1, 2, 3)} for r in (1, 2)]
    assert read(tests / f"csvtext_BOM_{name}.csv") == plain


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("20kRows", 20_000),
        ("insertAccountCsv", 100),
        ("bulkV2MultipleJobsCsvTemplate", 100),
        ("hardDeleteAccountCsvTemplate", 100),
        ("upsertFkAccountOldFormatCsvTemplate", 50),
        ("upsertWithRowOffsetTemplate", 10),
        ("emptyFirstRowFieldValueInCsvTemplate", 2),
        ("acctsWithBinaryDataInRTF", 1),
    ],
)
def test_the_files_have_the_rows_that_are_known_of_them(tests: Path, name: str, rows: int) -> None:
    assert len(read(tests / f"{name}.csv")) == rows


def test_quotes_within_quotes_are_read(tests: Path) -> None:
    assert [r["column1"] for r in read(tests / "csvEscapedQuotes.csv")] == ['"The Best" Account', 'The "Best" Account']


def test_the_sample_customers_and_deals_come_in_whole(make_crm: Any, folder: Path) -> None:
    samples = folder / "main" / "resources" / "samples" / "data"
    crm = make_crm(plugins=[crm_sales.plugin])
    accounts = {
        "entity": "account",
        "key": "sf:{ID}",
        "fields": {
            "name": "NAME",
            "website": "WEBSITE",
            "addresses.street": "BILLINGSTREET",
            "addresses.city": "BILLINGCITY",
            "addresses.region": "BILLINGSTATE",
            "addresses.postal_code": "BILLINGPOSTALCODE",
        },
    }
    deals = {
        "entity": "sales.opportunity",
        "key": "sf:{ID}",
        "fields": {
            "name": "NAME",
            "account": {"template": "sf:{ACCOUNTID}", "lookup": "external_ref", "missing": "empty"},
            "amount": {"column": "AMOUNT", "currency": "USD", "default": "0"},
        },
    }
    first = Importer(crm, IMPORT, mapping_of(accounts)).run(samples / "accountData.csv")
    assert (first.rows, first.created, first.failed) == (423, 423, 0)
    second = Importer(crm, IMPORT, mapping_of(deals)).run(samples / "opportunityData.csv")
    assert (second.rows, second.created, second.failed) == (38, 38, 0)
    given, sold = raw(samples / "accountData.csv"), raw(samples / "opportunityData.csv")
    ids = {row["ID"] for row in given}
    with crm.session(IMPORT, write=False) as s:
        found = {a.external_ref.removeprefix("sf:"): a for a in s.query(Account).all()}
        assert {i: a.name for i, a in found.items()} == {row["ID"]: row["NAME"].strip() for row in given}
        assert {i: a.addresses[0].city for i, a in found.items() if a.addresses} == {
            row["ID"]: row["BILLINGCITY"].strip() for row in given if row["BILLINGSTREET"] or row["BILLINGCITY"] or row["BILLINGPOSTALCODE"]
        }
        total = sum((d.amount.amount for d in s.query(Opportunity).all()), Decimal(0))
        assert total == sum(Decimal(row["AMOUNT"] or 0) for row in sold)
        assert s.query(Opportunity).where(Opportunity.account.is_(None)).count() == sum(row["ACCOUNTID"] not in ids for row in sold)
    again = Importer(crm, IMPORT, mapping_of(accounts)).run(samples / "accountData.csv")
    assert (again.unchanged, again.run) == (423, "")


def raw(path: Path) -> list[dict[str, str]]:
    """The file read by the standard library in the encoding of its time."""
    with path.open(encoding="cp1252", newline="") as stream:
        return list(csv.DictReader(stream))


def test_an_identifier_between_wide_spaces_is_the_same(make_crm: Any, tests: Path) -> None:
    crm = make_crm()
    mapping = {"entity": "account", "key": "o:{ORACLE_ID__C}", "fields": {"name": "NAME", "website": "WEBSITE"}}
    report = Importer(crm, IMPORT, mapping_of(mapping)).run(tests / "upsertAccountCsvTemplate.csv")
    assert (report.rows, report.created) == (100, 100)
    with crm.session(IMPORT, write=False) as s:
        refs = {a.external_ref for a in s.query(Account).all()}
    assert {"o:1-000000"} <= refs
    assert all(ref == ref.strip() for ref in refs)


@pytest.mark.parametrize(("name", "wrong"), [("timeZoneFormatTesting", []), ("timeZoneFormatTestingWithErrors", [3, 4])])
def test_times_are_read_with_their_offsets(make_crm: Any, tests: Path, name: str, wrong: list[int]) -> None:
    crm = make_crm(plugins=[plugin])
    forms = ["%m/%d/%Y %H:%M:%S%z", "%m/%d/%YT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%dT%H:%M:%S%z"]
    mapping = mapping_of({"entity": "moment", "key": "t:{Name}", "fields": {"name": "Name", "at": {"column": "Date", "dates": forms}}})
    report = Importer(crm, IMPORT, mapping).run(tests / f"{name}.csv")
    assert sorted(f.line for f in report.failures) == wrong
    with crm.session(IMPORT, write=False) as s:
        found = {m.name: m.at for m in s.query(Moment).all()}
    assert len(found) == report.rows - len(wrong)
    assert found["A"] == datetime(2009, 7, 14, 18, 14, 45, tzinfo=UTC)
    assert found["F"] == datetime(2009, 7, 14, 12, 14, 45, tzinfo=UTC)
