"""A file of failed rows runs nothing in a spreadsheet, and comes in again as it was [C67]."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_core import Account, Actor
from crm_core.io import Importer, mapping_of, open_rows
from crm_core.spreadsheet import as_it_was, spreadsheet_safe

IMPORT = Actor.system("import", tenant="main")
EVIL = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "'=1",
    "''@x",
    "＝1",
    "'\t=1",
    "'",
    "-",
    "=",
    "' =x",
]


@given(st.text(st.sampled_from("=+-@\t\r\n' a1＝"), max_size=6) | st.text(max_size=6))
@example("' '=1")
def test_what_was_made_harmless_begins_no_formula_and_is_as_it_was_again(text: str) -> None:
    safe = spreadsheet_safe(text)
    assert safe.lstrip(" ")[:1] not in set("=+-@＝＋－＠\t\r\n") or not safe.strip(" ")
    assert as_it_was(safe) == text
    assert safe in (text, f"'{text}")


@pytest.mark.parametrize("text", ["", "Acme", "a=b", "O'Neill", "1-2", "'quoted'", "' x"])
def test_other_text_is_left_alone(text: str) -> None:
    assert (spreadsheet_safe(text), as_it_was(text)) == (text, text)


def test_rows_that_fail_are_harmless_and_can_be_put_right_and_imported(make_crm: Any, tmp_path: Path) -> None:
    crm, path, errors = make_crm(), tmp_path / "rows.csv", tmp_path / "errors.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["=id()", "name", "branch"], *([n, text, "x" * 101] for n, text in enumerate(EVIL))])
    mapping = {"entity": "account", "key": "e:{=id()}", "ignore": ["line", "reason"], "fields": {"name": "name", "industry": "branch"}}
    assert Importer(crm, IMPORT, mapping_of(mapping)).run(path, errors=errors).failed == len(EVIL)
    with errors.open(encoding="utf-8", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert [c for c in cells if c.lstrip(" ")[:1] in set("=+-@＝\t\r\n") and c.strip()] == []

    errors.write_bytes(errors.read_bytes().replace(b"x" * 101, b"food"))
    with open_rows(errors) as rows:
        assert rows.columns == ("line", "reason", "=id()", "name", "branch")
        assert [row.cells[3] for row in rows] == EVIL
    assert Importer(crm, IMPORT, mapping_of(mapping)).run(errors).created == len(EVIL)
    with crm.session(IMPORT, write=False) as s:
        assert {a.external_ref: a.name for a in s.query(Account).all()} == {f"e:{n}": text.strip() for n, text in enumerate(EVIL)}


def test_an_apostrophe_in_any_other_file_is_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("name,more\n'=1,'-2\n")
    with open_rows(path) as rows:
        assert [row.cells for row in rows] == [["'=1", "'-2"]]
