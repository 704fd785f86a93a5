"""Excel workbooks come in as they look, row by row, and what would harm or mislead is refused [C67]."""

from __future__ import annotations

import re
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from crm_core import Account, Actor, Entity, Field, Invalid, MissingExtra, Money, MoneyField, Plugin, field
from crm_core.io import Form, Importer, mapping_of, open_rows, propose

openpyxl = pytest.importorskip("openpyxl", reason="the extra io is not installed")
plugin = Plugin("shop", version="1.0.0")
IMPORT = Actor.system("import", tenant="main")
Sheets = Mapping[str, Sequence[Sequence[Any]]]
MakeBook = Callable[..., Path]


class Size(Enum):
    SMALL = "1"
    LARGE = "2"


class Sale(Entity):
    name: Field[str]
    code: Field[str | None] = field(default=None)
    pieces: Field[int | None] = field(default=None)
    share: Field[Decimal | None] = field(default=None)
    amount: MoneyField
    day: Field[date | None] = field(default=None)
    at: Field[datetime | None] = field(default=None)
    size: Field[Size | None] = field(default=None)
    paid: Field[bool | None] = field(default=None)
    external_ref: Field[str | None] = field(default=None, unique=True)


plugin.entities(Sale)
HEAD = ["id", "name", "code", "pieces", "share", "amount", "day", "at", "size", "paid"]
MAPPING: dict[str, Any] = {
    "entity": "sale",
    "key": "s:{id}",
    "fields": {n: n for n in HEAD[1:]},
    "written": {"decimal": ",", "dates": ["%d.%m.%Y"], "zone": "Europe/Vienna", "currency": "EUR"},
}


@pytest.fixture
def book(tmp_path: Path) -> MakeBook:
    def book(sheets: Sheets, parts: Mapping[str, Callable[[str], str]] | None = None, name: str = "book.xlsx") -> Path:
        """Write a workbook; *parts* change its XML afterwards."""
        made = openpyxl.Workbook()
        made.remove(made.active)
        for title, rows in sheets.items():
            sheet = made.create_sheet(title)
            for row in rows:
                sheet.append(row)
        path = tmp_path / name
        made.save(path)
        if parts:
            with zipfile.ZipFile(path) as archive:
                content = {n: archive.read(n).decode() for n in archive.namelist()}
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for n, text in content.items():
                    archive.writestr(n, parts[n](text) if n in parts else text)
        return path

    return book


def read(path: Path, form: Form | None = None) -> tuple[tuple[str, ...], list[list[Any]]]:
    with open_rows(path, form) as rows:
        found = list(rows)
    assert [r.error for r in found if r.error] == []
    return rows.columns, [list(r.cells) for r in found if not r.blank]


def refused(path: Path, form: Form | None = None) -> tuple[str, dict[str, Any]]:
    with pytest.raises(Invalid) as raised:
        read(path, form)
    return raised.value.code, raised.value.params


def test_cells_come_in_as_what_they_are_and_as_text_where_the_field_is_text(make_crm: Any, book: MakeBook, tmp_path: Path) -> None:
    crm = make_crm(plugins=[plugin])
    at = datetime(2026, 2, 3, 14, 30)  # noqa: DTZ001  # a workbook knows no zones
    path = book(
        {
            "Sales": [
                [*HEAD, "note"],
                [1, "as numbers", 1010, 3, 0.1 + 0.2, 1250.5, datetime(2026, 2, 3), at, 2, True, "#REF!"],  # noqa: DTZ001
                [2, "as text", "01010", "3", "0,3", "1.250,50", "03.02.2026", "03.02.2026", "1", "no"],
                [3.0, "large", 4711.0, 3.0, 12, 99999999999, at, date(2026, 2, 3), None, 0],
                ["x", None, None, None, None, None, None, None, None, None],
                [5, "wrong", None, "three", None, "#N/A", None, None, None, None],
                [6, "wrong", None, 1.5, None, 1, None, None, None, None],
            ]
        }
    )
    errors = tmp_path / "errors.csv"
    report = Importer(crm, IMPORT, mapping_of({**MAPPING, "ignore": ["note"]})).run(path, errors=errors)
    assert (report.created, report.failed) == (3, 3)
    assert sorted(f.line for f in report.failures) == [5, 6, 7]
    with crm.session(IMPORT, write=False) as s:
        found = {r.external_ref: r for r in s.query(Sale).all()}
    one, two, three = found["s:1"], found["s:2"], found["s:3"]
    assert (one.code, two.code, three.code) == ("1010", "01010", "4711")
    for sale in (one, two):
        assert (sale.pieces, sale.share, sale.amount, sale.day) == (3, Decimal("0.3"), Money("1250.5", "EUR"), date(2026, 2, 3))
    assert one.at == datetime(2026, 2, 3, 13, 30, tzinfo=UTC)
    assert (one.size, two.size, one.paid, two.paid, three.paid) == (Size.LARGE, Size.SMALL, True, False, False)
    assert (three.day, three.at) == (date(2026, 2, 3), datetime(2026, 2, 2, 23, 0, tzinfo=UTC))
    assert (three.amount, three.share) == (Money(99999999999, "EUR"), Decimal(12))
    again = Importer(crm, IMPORT, mapping_of(MAPPING)).run(path)
    assert (again.created, again.updated, again.unchanged) == (0, 0, 3)
    assert "6,The column amount holds #N/A instead of a value.,5,wrong" in errors.read_text("utf-8")
    assert [f.error.code for f in report.failures if f.line == 6] == ["import_cell_error"]
    assert "6,wrong,,1.5,,1,,,,,\n" in errors.read_text("utf-8")


def test_an_amount_beside_its_currency_is_read_with_any_decimal_point(make_crm: Any, book: MakeBook) -> None:
    crm = make_crm(plugins=[plugin])
    amount = {"column": "sum", "currency_column": "unit", "decimal": ","}
    path = book({"Sales": [["name", "sum", "unit"], ["a", 12.5, "USD"], ["b", "12,5", "USD"], ["c", 7, "USD"]]})
    assert Importer(crm, IMPORT, mapping_of({"entity": "sale", "fields": {"name": "name", "amount": amount}})).run(path).created == 3
    with crm.session(IMPORT, write=False) as s:
        assert [str(r.amount) for r in s.query(Sale).order_by(Sale.name).all()] == [str(Money(a, "USD")) for a in ("12.5", "12.5", 7)]


def test_formulas_count_as_what_was_worked_out_and_where_nobody_did_the_file_is_refused(book: MakeBook) -> None:
    sheets = {"S": [["name", "sum"], ["a", "=1+1"], ["b", "=2+2"]]}
    assert refused(book(sheets)) == ("import_not_calculated", {"path": "book.xlsx", "cell": "B2"})
    calculated = {"xl/worksheets/sheet1.xml": lambda xml: re.sub(r"</f><v ?/>|</f><v></v>", "</f><v>4</v>", xml)}
    assert read(book(sheets, calculated)) == (("name", "sum"), [["a", "4"], ["b", "4"]])


def test_a_sheet_is_chosen_by_name_where_people_see_several(book: MakeBook) -> None:
    sheets = {"Deals": [["name"], ["a"]], "People": [["who"], ["b"]]}
    assert refused(book(sheets)) == (
        "import_which_sheet",
        {"path": "book.xlsx", "sheet": "", "suggestion": "", "known": ["Deals", "People"]},
    )
    code, params = refused(book(sheets), Form(sheet="Peple"))
    assert (code, params["suggestion"]) == ("import_which_sheet", "People")
    assert read(book(sheets), Form(sheet="People")) == (("who",), [["b"]])
    hidden = {"xl/workbook.xml": lambda xml: re.sub(r'(name="People"[^>]*state=)"visible"', r'\1"hidden"', xml)}
    assert read(book(sheets, hidden)) == (("name",), [["a"]])


def test_rows_are_as_wide_as_the_header_and_keep_their_numbers(book: MakeBook) -> None:
    path = book({"S": [[], ["name", None, 2026, "name"], ["a", None, None, None], [], ["b", 1, 2, 3, None], ["c", 1, 2, 3, 4]]})
    with open_rows(path) as rows:
        found = list(rows)
    assert rows.columns == ("name", "column 2", "2026", "name (2)")
    assert [(r.line, list(r.cells)) for r in found if r.error is None and not r.blank] == [
        (3, ["a", "", "", ""]),
        (5, ["b", "1", "2", "3"]),
    ]
    assert [(r.line, r.error.code) for r in found if r.error] == [(6, "import_ragged")]


def test_what_a_file_says_of_its_own_size_is_not_believed(book: MakeBook) -> None:
    wide = {"xl/worksheets/sheet1.xml": lambda xml: re.sub(r'<dimension ref="[^"]*"', '<dimension ref="A1:XFD1048576"', xml)}
    assert read(book({"S": [["name"], ["a"]]}, wide)) == (("name",), [["a"]])
    narrow = {"xl/worksheets/sheet1.xml": lambda xml: re.sub(r'<dimension ref="[^"]*"', '<dimension ref="A1"', xml)}
    assert read(book({"S": [["name", "more"], ["a", "b"]]}, narrow)) == (("name", "more"), [["a", "b"]])


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path, book: MakeBook) -> None:
    path = book({"S": [["name"], ["a"]]})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/media/more.xml", "w") as stream:
        for _ in range(64):
            stream.write(b" " * (1 << 20))
    tracemalloc.start()
    assert refused(path) == ("import_workbook_bomb", {"path": "book.xlsx"})
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    many = tmp_path / "many.xlsx"
    with zipfile.ZipFile(many, "w") as archive:
        for n in range(10_001):
            archive.writestr(f"{n}", b"")
    assert refused(many)[0] == "import_workbook_bomb"


def test_two_cells_far_apart_take_no_memory_for_what_is_between(book: MakeBook) -> None:
    far = {
        "xl/worksheets/sheet1.xml": lambda xml: xml.replace("</sheetData>", '<row r="90000"><c r="XFD90000"><v>1</v></c></row></sheetData>')
    }
    path = book({"S": [["name"], ["a"]]}, far)
    tracemalloc.start()
    with open_rows(path) as rows:
        errors = [(r.line, r.error.code) for r in rows if r.error]
    assert errors == [(90_000, "import_ragged")]
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("before", ["", "<worksheet>", " " * 100_000])
def test_a_few_entities_that_grow_to_a_billion_do_not(book: MakeBook, before: str) -> None:
    path = book({"S": [["name"], ["a"]]}, {"xl/worksheets/sheet1.xml": lambda xml: laughing(xml, before)})
    tracemalloc.start()
    assert refused(path)[0] == "import_workbook_bomb"
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_many_rows_take_no_more_memory_than_few(book: MakeBook) -> None:
    rows = "".join(f'<row r="{n}"><c r="A{n}" t="inlineStr"><is><t>Company {n}</t></is></c></row>' for n in range(3, 20_000))
    path = book({"S": [["name"], ["a"]]}, {"xl/worksheets/sheet1.xml": lambda xml: xml.replace("</sheetData>", rows + "</sheetData>")})
    tracemalloc.start()
    with open_rows(path) as opened:
        start = tracemalloc.get_traced_memory()[0]
        assert sum(1 for _ in opened) == 19_998
        assert 0.9 < opened.done <= 1.0
    assert tracemalloc.get_traced_memory()[1] - start < 2 << 20
    tracemalloc.stop()


def laughing(xml: str, before: str) -> str:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    start = xml.index("<worksheet")
    body = xml[start:].replace("<t>a</t>", "<t>&a9;</t>")
    return f"{xml[:start]}<!-- {before} --><!DOCTYPE worksheet [{entities}]>{body}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.xlsx", b"PK\x03\x04 and no more"),
        ("locked.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)),
        ("empty.xlsx", b""),
    ],
)
def test_what_is_no_workbook_is_said_in_words(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refused(path)[0] == ("import_bad_workbook" if content else "import_empty")


def test_a_workbook_whose_parts_are_broken_is_said_in_words(book: MakeBook) -> None:
    sheets = {"S": [["name"], ["a"]]}
    assert refused(book(sheets, {"xl/workbook.xml": lambda xml: xml[: len(xml) // 2]}))[0] == "import_bad_workbook"
    assert refused(book(sheets, {"xl/worksheets/sheet1.xml": lambda xml: xml[:-40]}))[0] == "import_bad_workbook"


def test_without_the_extra_a_workbook_names_it(book: MakeBook, monkeypatch: pytest.MonkeyPatch) -> None:
    path = book({"S": [["name"], ["a"]]})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtra) as raised:
        read(path)
    assert raised.value.params == {"extra": "io", "module": "openpyxl"}


def test_a_mapping_is_proposed_for_a_sheet(make_crm: Any, book: MakeBook) -> None:
    crm = make_crm(plugins=[plugin])
    with open_rows(book({"S": [["Account id", "Account name", "E-Mail"], [1, "Acme", "a@x.com"]]})) as rows:
        mapping = propose(rows, Account, crm.codec(Account).fields, source="old")
    assert (mapping.key, {n: s.column for n, s in mapping.fields.items()}) == (
        "old:{Account id}",
        {"name": "Account name", "emails": "E-Mail"},
    )
