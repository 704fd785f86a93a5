"""Address books of phones and mail programs come in, whatever version of vCard they speak [C67]."""

from __future__ import annotations

import re
import tomllib
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_core import Account, Actor, Contact
from crm_core.io import Importer, mapping_of, open_rows
from crm_core.io.vcards import COLUMNS

IMPORT = Actor.system("import", tenant="main")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "import-more.md").read_text("utf-8")


@pytest.fixture
def folder(test_data: Callable[[str], Path]) -> Path:
    return test_data("import/vcards_ezvcard")


def read(path: Path) -> list[dict[str, Any]]:
    with open_rows(path) as rows:
        found = list(rows)
    assert rows.columns == COLUMNS
    assert [r.error for r in found if r.error] == []
    return [dict(zip(rows.columns, r.cells, strict=True)) for r in found]


def cards(tmp_path: Path, text: str) -> list[dict[str, Any]]:
    path = tmp_path / "book.vcf"
    path.write_text(text.replace("\n", "\r\n"), "utf-8", newline="")
    return read(path)


def test_every_card_of_the_set_is_read_with_its_name_and_addresses(folder: Path) -> None:
    found = {path.name: read(path) for path in sorted(folder.rglob("*.vcf"))}
    assert {name: len(rows) for name, rows in found.items() if len(rows) > 1} == {
        "John_Doe_ANDROID.vcf": 6,
        "gmail-list.vcf": 3,
        "rfc2426-example.vcf": 2,
    }
    assert sum(map(len, found.values())) == 26
    for path in folder.rglob("*.vcf"):
        given = Counter(re.findall(r"^(?:item\d\.)?(EMAIL|TEL)[;:]", path.read_text("utf-8"), re.M))
        kept = {"EMAIL": sum(len(r["emails"]) for r in found[path.name]), "TEL": sum(len(r["phones"]) for r in found[path.name])}
        assert kept == {name: given[name] for name in ("EMAIL", "TEL")}, path.name
    assert [r["name"] for r in found["John_Doe_ANDROID.vcf"]][:3] == ["john.doe@company.com", "jane.doe@company.com", "Ñ Ñ Ñ Ñ Ñ"]
    assert {found[f"John_Doe_{name}.vcf"][0]["last_name"] for name in ("EVOLUTION", "GMAIL", "IPHONE", "MAC_ADDRESS_BOOK")} == {"Doe"}
    assert found["outlook-2003.vcf"][0]["organisation"] == "Company, The"


def test_an_example_of_the_newest_version_is_read_in_full(folder: Path) -> None:
    (card,) = read(folder / "io" / "text" / "rfc6350-example.vcf")
    assert card == {
        **dict.fromkeys(COLUMNS, ""),
        "name": "Simon Perreault",
        "first_name": "Simon",
        "last_name": "Perreault",
        "organisation": "Viagenie",
        "website": "http://nomis80.org",
        "birthday": "--0203",
        "emails": [{"address": "simon.perreault@viagenie.ca", "label": "work", "primary": True}],
        "phones": [
            {"number": "+1-418-656-9254;ext=102", "label": "work", "primary": True},
            {"number": "+1-418-262-6501", "label": "work cell", "primary": False},
        ],
        "addresses": [
            {
                "street": "Suite D2-630, 2875 Laurier",
                "city": "Quebec",
                "region": "QC, Canada",
                "postal_code": "G1V 2M2",
                "country": "",
                "label": "work",
            }
        ],
    }


def test_the_set_comes_in_as_contacts_with_their_companies(make_crm: Any, folder: Path) -> None:
    crm = make_crm(region="US")
    toml = PAGE.split("## Address books")[1].split("```toml\n")[1].split("```")[0]

    importer = Importer(crm, IMPORT, mapping_of(tomllib.loads(toml)))
    reports = {path.name: importer.run(path) for path in sorted(folder.rglob("*.vcf"))}
    failed = {name: sorted({(d.field, d.code) for f in r.failures for d in f.error.details}) for name, r in reports.items() if r.failed}
    assert failed == {
        "John_Doe_ANDROID.vcf": [("emails", "bad_email"), ("phones", "bad_phone")],
        "John_Doe_LOTUS_NOTES.vcf": [("phones", "bad_phone")],
        "outlook-2003.vcf": [("phones", "bad_phone")],
    }
    assert sum(r.rows for r in reports.values()) == 26
    with crm.session(IMPORT, write=False) as s:
        people = {c.name: c for c in s.query(Contact).all()}
        companies = {a.id: a.name for a in s.query(Account).all()}
    assert len(people) == sum(r.created for r in reports.values())
    simon = people["Simon Perreault"]
    assert (companies[simon.account.id], simon.emails[0].address) == ("Viagenie", "simon.perreault@viagenie.ca")
    assert simon.phones[0].number == "+14186569254;ext=102"
    assert (people["Arnold Smith"].account, people["Frank Dawson"].title) == (None, None)
    assert Counter(companies.values())["IBM"] == 1


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("FN:Ann\n  Lee", "name", "Ann Lee"),
        ("FN:Ann\n\tLee", "name", "AnnLee"),
        ("N:Lee;Ann;B.;Dr.;Jr.", "name", "Dr. Ann B. Lee Jr."),
        ("ORG:Acme\\; Best;Sales", "name", "Acme; Best"),
        ("fn:low\nitem1.title:Boss", "title", "Boss"),
        ("TITLE;ENCODING=QUOTED-PRINTABLE:M=C3=BC=\nller", "title", "Müller"),
        ("TITLE;QUOTED-PRINTABLE;CHARSET=ISO-8859-1:M=FCller", "title", "Müller"),
        ("TITLE;ENCODING=QUOTED-PRINTABLE;CHARSET=none:a=20b", "title", "a b"),
        ('TITLE;X-A="a;b:c":Boss', "title", "Boss"),
        ("TITLE;PREF=2:Two\nTITLE;PREF=1:One\nTITLE:Three", "title", "One"),
        ("no colon here\n\nTITLE:Boss", "title", "Boss"),
        ("AGENT:\nBEGIN:VCARD\nTITLE:Agent\nEND:VCARD\nTITLE:Boss", "title", "Boss"),
        ("LABEL;ENCODING=QUOTED-PRINTABLE:a=\nTITLE:no=\nend\nTITLE:Boss", "title", "Boss"),
        ("NOTE:one\\ntwo\\, three", "note", "one two, three"),
        ("EMAIL:", "emails", ""),
        ("ADR:;;;;;;DE", "addresses", ""),
        ("ADR;HOME:;;Weg 1;Bonn;;;de", "addresses", [
            {"street": "Weg 1", "city": "Bonn", "region": "", "postal_code": "", "country": "DE", "label": "home"},
        ]),
    ],
)  # fmt: skip
def test_a_card_is_read_as_it_is_meant(tmp_path: Path, text: str, column: str, expected: Any) -> None:
    (card,) = cards(tmp_path, f"BEGIN:VCARD\nVERSION:3.0\n{text}\nEND:VCARD\n")
    assert card[column] == expected


def test_a_card_without_an_end_is_an_error_and_the_cards_before_it_are_read(tmp_path: Path) -> None:
    path = tmp_path / "book.vcf"
    path.write_text("BEGIN:VCARD\nFN:Ann\nEND:VCARD\nBEGIN:VCARD\nFN:Bob\n")
    with open_rows(path) as rows:
        found = list(rows)
    assert [(r.line, r.error.code if r.error else r.cells[0]) for r in found] == [(1, "Ann"), (4, "import_unreadable")]


def test_a_picture_takes_no_memory_and_a_name_without_an_end_is_refused(tmp_path: Path) -> None:
    folded = "".join(f" {'A' * 76}\n" for _ in range(100_000))
    path = tmp_path / "book.vcf"
    path.write_text(f"BEGIN:VCARD\nPHOTO;BASE64:AA\n{folded}FN:Ann\nEND:VCARD\n")
    tracemalloc.start()
    assert [c["name"] for c in read(path)] == ["Ann"]
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    path.write_text(f"BEGIN:VCARD\nFN:AA\n{folded}END:VCARD\n")
    with open_rows(path) as rows:
        assert [r.error.code for r in rows if r.error] == ["import_too_long"]
