"""What fails is reported with line and reasons, kept in a file that can be put right, and leaves no trace where that is asked for [C67]."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from crm_core import (
    Actor,
    Invalid,
)
from crm_core.io import Importer, mapping_of
from crm_core.testing.state import state_hash
from tests.io.deals import DEALS, IMPORT, Import, add_account, codes, counts, deals


def test_every_wrong_row_is_reported_with_its_line_and_all_its_reasons_and_the_rest_is_kept(crm: Any, bring: Import) -> None:
    add_account(crm, "GTX Pro", "Twin", "Twin")
    report = bring(
        "id,name,account,amount\n"
        "1,One,,10\n"
        "2,Two,GTXPro,ten\n"
        "3,,,30\n"
        "4,Four,Twin,40\n"
        "5,Five,,13\n"
        ",Six,,60\n"
        "7,Seven\n"
        "\n"
        f"8,{'x' * 300},,80\n"
        "9,Nine,,NaN\n"
        "10,Ten,,1e1000000\n"
        "11,Eleven,,110\n"
    )
    assert (counts(report), report.blank) == ((2, 0, 0, 9), 1)
    assert sorted(codes(report)) == [
        (3, "account", "import_unknown"),
        (3, "amount", "import_bad_number"),
        (4, "name", "required"),
        (5, "account", "import_ambiguous"),
        (6, "amount", "trade.thirteen"),
        (7, "external_ref", "import_no_key"),
        (10, "name", "too_long"),
        (11, "amount", "import_bad_number"),
        (12, "amount", "too_big"),
    ]
    assert [(f.line, f.error.code) for f in report.failures if not f.error.details] == [(8, "import_ragged")]
    assert [(u.field, u.value, u.proposal, u.rows) for u in report.unknown] == [("account", "GTXPro", "GTX Pro", 1)]
    assert sorted(deals(crm)) == ["t:1", "t:11"]


def test_the_error_file_holds_line_reason_and_the_row_in_the_readers_language(bring: Import, tmp_path: Path) -> None:
    errors = tmp_path / "errors.csv"
    actor = Actor.system("import", tenant="main", on_behalf_of=Actor("7", locale="zh_CN"))
    bring('id,name,account,amount\n1,"A ""B""\nC",Acme,x\n2,Two,,20\n3\n', actor=actor, errors=errors)
    with errors.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["line", "reason", "id", "name", "account", "amount"]
    assert [(r[0], r[2:]) for r in rows[1:]] == [("5", ["3"]), ("2", ["1", 'A "B"\nC', "Acme", "x"])]
    assert "没有名为 Acme 的记录" in rows[2][1]


def test_an_error_file_can_be_put_right_and_imported_again(crm: Any, bring: Import, tmp_path: Path) -> None:
    errors = tmp_path / "errors.csv"
    bring("id,name,account,amount\n1,One,,10\n2,Two,,x\n", errors=errors)
    mended = errors.read_text("utf-8").replace(",x", ",20")
    again = bring(mended, {**DEALS, "ignore": ["line", "reason"]}, errors=errors)
    assert (counts(again), again.unmapped) == ((1, 0, 0, 0), [])
    assert sorted(deals(crm)) == ["t:1", "t:2"]


def test_a_file_that_is_not_of_failed_rows_is_not_overwritten(bring: Import, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("dear,diary\n")
    with pytest.raises(Invalid) as raised:
        bring("id,name,account,amount\n", errors=mine)
    assert (raised.value.code, mine.read_text()) == ("import_errors_exist", "dear,diary\n")


def test_a_file_is_not_imported_onto_itself(crm: Any, bring: Import, tmp_path: Path) -> None:
    bring("id,name,account,amount\n1,One,,x\n", errors=tmp_path / "errors.csv")
    before = (tmp_path / "errors.csv").read_bytes()
    mapping = mapping_of({**DEALS, "ignore": ["line", "reason"]})
    with pytest.raises(Invalid) as raised:
        Importer(crm, IMPORT, mapping, entity="deals").run(tmp_path / "errors.csv", errors=tmp_path / "errors.csv")
    assert (raised.value.code, (tmp_path / "errors.csv").read_bytes()) == ("import_onto_itself", before)


@pytest.mark.parametrize("options", [{"dry_run": True}, {"whole": True}])
def test_a_dry_run_and_an_all_or_nothing_import_with_a_failure_leave_no_trace(crm: Any, bring: Import, options: dict[str, bool]) -> None:
    add_account(crm, "Acme")
    before = state_hash(crm)
    report = bring("id,name,account,amount\n1,One,Acme,10\n2,Two,,x\n", batch=1, **options)
    assert (counts(report), report.committed) == ((1, 0, 0, 1), False)
    assert state_hash(crm) == before


def test_an_all_or_nothing_import_without_failures_is_kept(crm: Any, bring: Import) -> None:
    report = bring("id,name,account,amount\n1,One,,10\n2,Two,,20\n", batch=1, whole=True)
    assert (counts(report), report.committed, len(deals(crm))) == ((2, 0, 0, 0), True, 2)
