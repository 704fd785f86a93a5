"""Attacks by files that come in: workbooks, cards, rows and mappings that take hours, gigabytes or an untyped error [A11, A19, A21]."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crm_core import Account, CRMError
from crm_core.io import Importer, export, mapping_of, open_rows, propose
from tests.attacks.house import House
from tests.attacks.raid import CANARY, ME, SYSTEM, World, each
from tests.attacks.test_files import SHEET, STARTS, archive, workbook

WORLD = House
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def sheet(data: str) -> dict[str, bytes | str]:
    head = '<row r="1"><c t="inlineStr"><is><t>name</t></is></c></row>'
    return {SHEET: f'<worksheet xmlns="{MAIN}"><sheetData>{head}{data}</sheetData></worksheet>'}


def much(unit: str, megabytes: int) -> str:
    """Repeat something so that it does not pack as well as a bomb: between the units stand comments of chance."""
    chance, part = random.Random(1), unit * (30_000 // len(unit))
    return "".join(f"{part}<!--{chance.randbytes(110).hex()}-->" for _ in range((megabytes << 20) // len(part)))


def related(part: str, kind: str, content: str) -> dict[str, bytes | str]:
    """Make a workbook point at a part of another name than usual."""
    relation = '<Relationship Id="{0}" Type="{1}/{2}" Target="{3}"/>'
    rels = relation.format("r1", OFFICE, "worksheet", "worksheets/sheet1.xml") + relation.format("r2", OFFICE, kind, f"/{part}")
    return {"xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}">{rels}</Relationships>', part: content}


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
BOOKS: dict[str, Callable[[], dict[str, bytes | str]]] = {
    "a row far away": lambda: sheet('<row r="999999999999"><c><v>1</v></c></row>'),
    "a row without end": lambda: sheet('<row r="1e999"><c><v>1</v></c></row>'),
    "a row that is none": lambda: sheet('<row r="nan"/>'),
    "a row again and again": lambda: sheet(much('<row r="1"/>', 1)),
    "a row of 260,000 cells": lambda: sheet(f'<row>{much("<c/>", 1)}</row>'),
    "a row of other things": lambda: sheet(f'<row>{much("<x/>", 2)}</row>'),
    "a cell in a column far away": lambda: sheet('<row><c r="ZZZZZZ1"><v>1</v></c></row>'),
    "a cell of 2 MB": lambda: sheet(f'<row><c t="inlineStr"><is><t>{much("a", 2)}</t></is></c></row>'),
    "a cell of many texts": lambda: sheet(f'<row><c t="inlineStr"><is>{much("<r><t>aaaa</t></r>", 4)}</is></c></row>'),
    "elements in elements": lambda: sheet("<x>" * 100_000),
    "a tag of 6 MB": lambda: sheet(f'<row {" ".join(f"a{n}={chr(34)}{chr(34)}" for n in range(500_000))}/>'),
    "a million things outside": lambda: {SHEET: f'<worksheet xmlns="{MAIN}">{much("<x/>", 4)}<sheetData/></worksheet>'},
    "laughs by another name": lambda: related("xl/strings.bin", "sharedStrings", f"{LAUGHS}<sst><si><t>&b;</t></si></sst>"),
    "a string of 2 MB": lambda: related("xl/s.xml", "sharedStrings", f"<sst><si><t>{much('a', 2)}</t></si></sst>"),
    "styles without number": lambda: related("xl/worksheets/s.xml", "styles", f"<s><cellXfs>{much('<xf/>', 1)}</cellXfs></s>"),
    "a style that is no number": lambda: sheet('<row><c s="x"><v>1</v></c></row>'),
    "a part that is outside": lambda: related("xl/s.xml", "styles", "x") | {"xl/s.xml": "<s", "../../s.xml": "x"},
    "no part": lambda: {"xl/workbook.xml": f'<workbook xmlns:r="{OFFICE}"><sheet name="s" r:id="r9"/></workbook>'},
}  # fmt: skip
CELLS = {
    "1e308": "1e308", "a date of the year 99999": "2#9e9", "infinite": "1e999", "no number": "nan", "of 5,000 digits": "9" * 5_000,
    "no string": "s#99", "the last string": "s#-1", "no date": "d#2026-99-99", "no truth": "b#maybe", "an error": "e##REF!",
}  # fmt: skip


def cell(text: str) -> str:
    kind, _, value = text.rpartition("#") if "#" in text[:2] else ("n", "", text)
    kind, value = (text[0], text[2:]) if text[1:2] == "#" else (kind, value)
    style = ' s="1"' if kind == "2" else ""
    return f'<c t="{"n" if kind == "2" else kind}"{style}><v>{value}</v></c>'


def load(w: World, path: Path, mapping: dict[str, Any], *, by: Any = ME) -> Any:
    try:
        done = Importer(w.crm, by, mapping_of(mapping)).run(path, dry_run=True)
    finally:
        path.unlink()
    raise done.failures[0].error if done.failures else AssertionError("nothing was wrong with it")


NAMED: dict[str, Any] = {"entity": "account", "key": "b:{name}", "fields": {"name": "name"}}


def test_a11_no_part_of_a_workbook_fills_the_memory_or_takes_hours(world: World) -> None:
    if world.crm.bound.kind != "sqlite":
        pytest.skip("a file is read before any database is asked")
    made = {name: workbook(changed=parts())(world).rename(world.folder / f"{n}.xlsx") for n, (name, parts) in enumerate(BOOKS.items())}
    world.assert_refused("A11", each("a workbook:", made, lambda w, s, name: load(w, made[name], NAMED)), journalled=True)
    world.assert_refused(
        "A11", {"packed in another way": lambda w, s: load(w, archive({"x": "x"}, name="x.xlsx")(w), NAMED)}, journalled=True
    )


def test_a21_a_cell_that_holds_no_value_is_an_error_of_its_row(world: World) -> None:
    formats = '<styleSheet><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'
    rows = "".join(f"<row>{cell(text)}</row>" for text in CELLS.values())
    path = workbook(changed=related("xl/styles.xml", "styles", formats) | sheet(rows))(world)
    with open_rows(path) as found:
        cells = {name: row.error.code if row.error else str(row.cells[0]) for name, row in zip(CELLS, found, strict=True)}
    path.unlink()
    assert {name for name, code in cells.items() if code != "import_cell_error"} == {"1e308", "no truth"}, cells
    assert (cells["1e308"], cells["no truth"]) == ("1E+308", "false")
    world.tried["A21"] += len(CELLS)
    world.handled["A21"] += len(CELLS)


def test_a21_a_formula_that_nobody_worked_out_is_never_an_empty_value(world: World) -> None:
    rows = "".join(f"<row><c><v>{n}</v></c></row>" for n in range(150))
    path = workbook(changed=sheet(f"{rows}<row><c><f>1+1</f></c></row><row><c t='str'><f>x</f><v></v></c></row>"))(world)
    with open_rows(path) as found:
        codes = [row.error.code for row in found if row.error]
    path.unlink()
    assert codes == ["import_not_calculated"]


def card(text: bytes) -> Callable[[World], Path]:
    def make(w: World) -> Path:
        path = w.folder / "a.vcf"
        path.write_bytes(b"BEGIN:VCARD\nFN:x\n" + text + b"\nEND:VCARD\n")
        return path

    return make


CARDS: dict[str, bytes] = {
    "quoted text of 100,000 lines": b"NOTE;ENCODING=QUOTED-PRINTABLE:" + b"xx=\n" * 100_000,
    "a photo of 100,000 lines": b"PHOTO;ENCODING=QUOTED-PRINTABLE:" + b"xx=\n" * 100_000,
    "notes of 5 MB": (b"NOTE:" + b"x" * 1_000_000 + b"\n") * 5,
    "9,000 addresses": b"EMAIL:a@x.com\n" * 9_000,
    "an address inside": b"PHOTO;VALUE=uri:http://169.254.169.254/\nURL:http://127.0.0.1/\nEMAIL:x",
}  # fmt: skip
PEOPLE: dict[str, Any] = {"entity": "contact", "fields": {"name": "name", "emails": "emails"}}


def test_a11_a_card_takes_no_more_than_its_size(world: World) -> None:
    def attack(w: World, s: Any, name: str) -> Any:
        path = card(CARDS[name])(w)
        try:
            return load(w, path, PEOPLE)
        except AssertionError:
            return None

    world.assert_harmless("A11", each("a card:", CARDS, attack), journalled=True)


ITEMS: list[Any] = [
    {}, [], 5, None, True, "x", {"address": 5}, {"address": None}, {"address": "a@x.com", "primary": "yes"},
    {"address": "a@x.com", "primary": []},
    {"address": "a@x.com", "label": 5}, {"address": "a@x.com", "__class__": 1},
]  # fmt: skip


def test_a21_an_item_that_is_none_is_an_error_of_its_row_and_of_its_request(world: World) -> None:
    """One row with such an item ended the import, and a request was a 500."""

    def from_file(w: World, s: Any, item: Any) -> Any:
        path = w.folder / "a.jsonl"
        path.write_text(json.dumps({"name": "x", "emails": [item]}))
        return load(w, path, PEOPLE)

    world.assert_refused("A21", each("an item", ITEMS, from_file), journalled=True)
    world.assert_refused(
        "A21", each("an item of a body", ITEMS, lambda w, s, i: s.create(w.crm.from_json(type(w.person), {"name": "x", "emails": [i]})))
    )


FORMS = ["%d%d", "%Y" * 50, "%c%x%X", "%", "%q", "(a+)+$", "%Y[", "\ud800", "\x00", "%Y%j%d%U%W %p %z" * 20]


def rows(w: World, text: str) -> Path:
    path = w.folder / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["name", "more"], ["x", text]])
    return path


def test_a19_no_mapping_makes_a_row_slow_or_fail_untyped(world: World) -> None:
    dates = partial(
        lambda w, s, f: load(
            w,
            rows(w, "2026"),
            {"entity": "account", "fields": {"name": "name", "custom.born": {"column": "more", "dates": [f]}}},
            by=SYSTEM,
        )
    )
    world.assert_refused("A19", each("a form of dates", FORMS, dates), by=SYSTEM, journalled=True)
    mappings: dict[str, dict[str, Any]] = {
        "a template of 5,000 places": {"entity": "account", "fields": {"name": {"template": "{more}" * 5_000}}},
        "a key of 5,000 places": {"entity": "account", "key": "{more}" * 5_000, "fields": {"name": "name"}},
        "a list of 60,000 items": {"entity": "contact", "fields": {"name": "name", "emails": {"column": "more", "separator": ";"}}},
    }
    world.assert_refused("A19", each("a mapping:", mappings, lambda w, s, n: load(w, rows(w, "a;" * 60_000), mappings[n])), journalled=True)


def test_a19_names_of_columns_take_no_time_to_compare(world: World) -> None:
    path = world.folder / "a.csv"
    path.write_text(",".join(f"{'abc def ghi ' * 80}{n}" for n in range(500)) + "\n")

    def attack(w: World, s: Any) -> None:
        with open_rows(path) as found:
            propose(found, Account, w.crm.codec(Account).fields)

    world.assert_harmless("A19", {"long names": attack})
    path.unlink()


def test_a01_the_file_of_failed_rows_holds_nothing_of_others(world: World) -> None:
    path, errors = world.folder / "a.csv", world.folder / "errors.csv"
    path.write_text("name,of\nx,nobody\n=1+1,nobody\n")
    mapping = {"entity": "contact", "fields": {"name": "name", "account": {"column": "of", "lookup": "industry"}}}
    told = []
    for name in ("nobody", CANARY):
        path.write_text(path.read_text().replace("nobody", name))
        errors.unlink(missing_ok=True)
        Importer(world.crm, ME, mapping_of(mapping)).run(path, errors=errors, dry_run=True)
        told.append(errors.read_text().replace(name, "NAME"))
    path.unlink()
    errors.unlink()
    assert told[0] == told[1], "a hidden customer is none"
    assert all(c.lstrip(" ")[:1] not in STARTS for row in csv.reader(told[0].splitlines()) for c in row)


@pytest.mark.parametrize("name", ["x.CSV", "x.xlsx", "x", ".csv", "x.csv\x00", "x" * 300 + ".csv"])
def test_a12_an_export_has_a_name_or_a_typed_error(world: World, name: str) -> None:
    def attack(w: World, s: Any) -> Any:
        return export(s, s.query(Account), w.folder / name)

    with pytest.raises((CRMError, OSError, ValueError)), world.crm.session(ME) as s:
        attack(world, s)
        raise CRMError("refused")
