"""Attacks with files: formulas in exports, entities and bombs in workbooks, paths that lead out [A09, A11, A12]."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_analytics.api import Analytics, Report
from crm_core import Account, Actor, CRMError, Money
from crm_core.io import Importer, export, mapping_of, open_rows
from tests.attacks.raid import CANARY, ME, SYSTEM, Attack, World, each
from tests.laws.shop import Deal

FORMULAS = [
    "=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(1)", "\t=1", "=1+1;=2", "=HYPERLINK(\"http://x\")", "＝1", "＋1", "－1", "＠x", " =1", "'=1",
    "\N{ZERO WIDTH SPACE}=1", "\N{NO-BREAK SPACE}=1", "=", "-", "|cmd", "%0A=1", '"=1', ";=1", ",=1", "\N{BYTE ORDER MARK}=1",
]  # fmt: skip
STARTS = set("=+-@\t\r\n＝＋－＠")


def unseen(cell: str) -> str:
    """Return a cell as a spreadsheet takes it, without what it skips before a formula."""
    return cell.lstrip(" ")


def test_a09_no_cell_of_an_export_is_a_formula_and_numbers_stay_numbers(world: World) -> None:
    with world.crm.session(SYSTEM) as s:
        made = [s.create(Account(name=t, industry=t[:20], website=t, owner="7", external_ref=f"f:{n}")) for n, t in enumerate(FORMULAS)]
        deal = s.create(Deal(name="=1", account=made[0].ref, amount=Money(-5, "EUR"), owner="7", salary=-5, stage="@x"))
    path = world.folder / "formulas.csv"
    try:
        with world.crm.session(Actor("7", roles={"rep"})) as s:
            export(s, s.query(Account), path)
            cells = [cell for row in csv.reader(io.StringIO(path.read_text("utf-8-sig"))) for cell in row]
            path.unlink()
            export(s, s.query(Deal), path, fields=["name", "amount", "stage", "account.name"])
            rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
            path.unlink()
        for cell in cells:
            world.tried["A09"] += 1
            assert unseen(cell)[:1] not in STARTS, cell
            world.handled["A09"] += 1
        assert "-5" in rows[1] or "-5.00" in rows[1] or "-5.000000" in rows[1], rows
        assert all(unseen(c)[:1] not in STARTS or c.lstrip("-").replace(".", "").isdigit() for row in rows for c in row)
        with world.crm.session(SYSTEM) as s:
            text = s.use(Analytics).csv(Report(metrics=["sales.won_deals"], grain="month"))
        assert all(unseen(cell)[:1] not in STARTS for row in csv.reader(io.StringIO(text)) for cell in row)
    finally:
        with world.crm.session(SYSTEM) as s:
            s.delete(deal)
            for account in made:
                s.delete(account)


CONTENT = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"></Types>'
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><x>&j;</x>"
)


def archive(members: dict[str, bytes | str], *, name: str = "x.xlsx") -> Callable[[World], Path]:
    """Make a workbook of any members."""

    def make(w: World) -> Path:
        path = w.folder / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for member, data in members.items():
                file.writestr(member, data)
        return path

    return make


def workbook(cell: str = "x", changed: dict[str, bytes | str] | None = None) -> Callable[[World], Path]:
    """Make a workbook of one cell, by hand, with some parts in place of its own."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rels = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    parts: dict[str, bytes | str] = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{rels}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{rels}"><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{rels}/worksheet" '
        'Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>'
        '<row r="1"><c r="A1" t="inlineStr"><is><t>name</t></is></c></row>'
        f'<row r="2"><c r="A2" t="inlineStr"><is><t>{cell}</t></is></c></row></sheetData></worksheet>',
    }
    return archive(parts | (changed or {}))


SHEET = "xl/worksheets/sheet1.xml"
XXE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><worksheet>&e;</worksheet>'
DTD = '<?xml version="1.0"?><!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><worksheet/>'
ZEROS = b"0" * 100_000_000


def nested(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.xlsx", data)
    return made.getvalue()


BOOKS: dict[str, Callable[[World], Path]] = {
    "an entity of a file": workbook(changed={SHEET: XXE}),
    "an entity in UTF-16": workbook(changed={SHEET: XXE.replace('"1.0"', '"1.0" encoding="UTF-16"').encode("utf-16")}),
    "an outer DTD": workbook(changed={SHEET: DTD}),
    "a billion laughs": workbook(changed={SHEET: LAUGHS}),
    "laughs in the strings": workbook(changed={"xl/sharedStrings.xml": LAUGHS}),
    "laughs in the styles": workbook(changed={"xl/styles.xml": LAUGHS}),
    "laughs in the types": workbook(changed={"[Content_Types].xml": LAUGHS}),
    "laughs in the relations": workbook(changed={"xl/_rels/workbook.xml.rels": LAUGHS}),
    "100 MB of zeros": workbook(changed={SHEET: ZEROS}),
    "100 MB of zeros beside": workbook(changed={"xl/media/x.bin": ZEROS}),
    "no workbook": archive({"x.txt": "x"}),
    "a zip in a zip": archive({"x.zip": nested(nested(b"x"))}),
    "an empty archive": archive({}),
    "a sheet that is elsewhere": workbook(changed={"xl/_rels/workbook.xml.rels": "<Relationships/>"}),
    "a broken sheet": workbook(changed={SHEET: "<worksheet><sheetData><row>"}),
    "a sheet of 1,048,576 columns": workbook(
        changed={SHEET: '<worksheet><sheetData><row r="1"><c r="XFD1048576" t="n"><v>1</v></c></row></sheetData></worksheet>'}
    ),
    "20,000 members": archive({f"m{n}": "" for n in range(20_000)}),
}
FILES: dict[str, tuple[str, bytes]] = {
    "a line of 8 MB": ("x.csv", b"name\n" + b"x" * 8_000_000),
    "an open quote": ("x.csv", b'name\n"' + (b"x" * 999 + b"\n") * 300),
    "a header of 600,000 columns": ("x.csv", b"c," * 600_000 + b"\nx\n"),
    "a JSON of 200,000 brackets": ("x.jsonl", b"[" * 200_000),
    "an object of 200,000 brackets": ("x.jsonl", b'{"name":' * 100_000),
    "a number of 1,000,000 digits": ("x.jsonl", b'{"name": ' + b"9" * 1_000_000 + b"}"),
    "NaN": ("x.jsonl", b'{"name": NaN}'),
    "NULs": ("x.csv", b"name\n" + b"\x00" * 100_000),
    "halves of surrogates": ("x.jsonl", b'{"name": "\\ud800"}'),
    "a card without an end": ("x.vcf", b"BEGIN:VCARD\n" + b"FN:x\n" * 20_000),
    "cards in cards": ("x.vcf", b"BEGIN:VCARD\n" * 10_000),
    "a card with an endless line": ("x.vcf", b"BEGIN:VCARD\nFN:" + b"x\n " * 20_000 + b"\nEND:VCARD\n"),
    "a gzip": ("x.csv", b"\x1f\x8b\x08" + b"\x00" * 100),
    "a zip called CSV": ("x.csv", b"PK\x03\x04" + b"\x00" * 100),
    "XML called CSV": ("x.csv", LAUGHS.encode()),
}


def load(path: Path, w: World) -> Any:
    mapping = {"entity": "account", "key": "b:{name}", "fields": {"name": "name"}}
    done = Importer(w.crm, ME, mapping_of(mapping)).run(path)
    raise done.failures[0].error if done.failures else AssertionError("nothing was wrong with it")


def test_a11_bombs_are_found_before_they_burst(world: World) -> None:
    world.assert_refused("A11", each("a workbook:", BOOKS, lambda w, s, n: load(BOOKS[n](w), w)), journalled=True)


def test_a11_files_that_are_not_what_they_seem_end_soon(world: World) -> None:
    def attack(w: World, s: Any, name: str) -> Any:
        title, data = FILES[name]
        path = w.folder / title
        path.write_bytes(data)
        try:
            load(path, w)
        finally:
            path.unlink()

    world.assert_refused("A11", each("a file:", FILES, attack), journalled=True)


@pytest.mark.parametrize("member", ["../../x.xml", "/abs/x.xml", "xl/../../../x", "C:\\x", "xl/worksheets/\x00"])
def test_a12_a_member_of_an_archive_is_never_written(world: World, member: str) -> None:
    before = set(world.folder.parent.rglob("*"))
    book = workbook(changed={member: "x"})(world)
    world.tried["A12"] += 1
    try:
        with open_rows(book) as rows:
            assert [r.cells for r in rows] == [["x"]]
    except CRMError:
        pass
    book.unlink()
    assert set(world.folder.parent.rglob("*")) <= before | {book}
    world.handled["A12"] += 1


def test_a12_an_export_writes_through_no_link(world: World) -> None:
    there = world.folder / "there.csv"
    there.write_text(CANARY)
    link = world.folder / "link.csv"
    link.symlink_to(there)
    attacks: dict[str, Attack] = {
        "a folder": lambda w, s: export(s, s.query(Account), w.folder),
    }
    world.assert_refused("A12", attacks, journalled=True)
    world.assert_harmless("A12", {"a link": lambda w, s: export(s, s.query(Account), link)}, journalled=True)
    assert there.read_text() == CANARY
