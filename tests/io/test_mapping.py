"""Mapping files: read strictly, written back the same, and proposed from what a file is like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crm_sales
from crm_core import CRM, Account, Contact, Invalid
from crm_core.io import Form, Mapping, Source, mapping_of, open_rows, propose, read_mappings, to_toml
from crm_core.io.mapping import Written
from crm_sales.api import Opportunity

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "how-to"


@pytest.fixture
def crm() -> Any:
    crm = CRM("sqlite://", plugins=[crm_sales.plugin])
    yield crm
    crm.close()


def wrong(data: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(Invalid) as raised:
        mapping_of(data, "map.toml")
    assert (raised.value.code, raised.value.params["path"]) == ("import_bad_mapping", "map.toml")
    return {d.field: (d.code, d.params.get("suggestion", "")) for d in raised.value.details}


def test_all_that_is_wrong_with_a_mapping_is_said_by_its_place() -> None:
    found = wrong(
        {
            "entitty": "account",
            "fields": {
                "name": {"colunm": "a", "template": "x"},
                "owner": {"column": "a", "constant": "b"},
                "kind": {},
                "website": 5,
                "parent": {"column": "a", "missing": "creat"},
            },
            "file": {"encoding": "utf-9"},
            "written": {"decimal": ";"},
        }
    )
    assert found == {
        "entitty": ("unknown_field", "entity"),
        "fields[name].colunm": ("unknown_field", "column"),
        "fields[owner]": ("import_one_source", ""),
        "fields[kind]": ("import_one_source", ""),
        "fields[website]": ("wrong_type", ""),
        "fields[parent].missing": ("bad_enum", "create"),
        "file": ("import_no_encoding", ""),
        "written.decimal": ("bad_enum", ""),
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fields = [", ""),
        ('entity = "a"\nentity = "b"\n', ""),
        ("[[import]]\n[other]\n", "beside [[import]] nothing else may stand"),
        ("import = 3\n", "beside [[import]] nothing else may stand"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_in_words(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(Invalid) as raised:
        read_mappings(path)
    assert raised.value.code == "import_bad_mapping"
    assert reason in raised.value.params["reason"]


def test_a_mapping_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    for make, code in ((lambda p: None, "import_no_file"), (lambda p: p.write_bytes(b"\xff\xfe\x00"), "import_bad_mapping")):
        make(tmp_path / "map.toml")
        with pytest.raises(Invalid) as raised:
            read_mappings(tmp_path / "map.toml")
        assert raised.value.code == code


def test_the_mapping_of_the_how_to_is_read_in_parts() -> None:
    assert [(m.path, m.entity) for m in read_mappings(HOWTO / "maven.toml")] == [
        ("accounts.csv", "account"),
        ("products.csv", "sales.product"),
        ("sales_pipeline.csv", "sales.opportunity"),
    ]


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
sources = st.builds(
    Source,
    column=words,
    values=st.dictionaries(words, words, max_size=2),
    other=st.none() | words,
    default=st.none() | words,
    user=st.booleans(),
)
mappings = st.builds(
    Mapping,
    entity=words,
    fields=st.dictionaries(words, sources, max_size=3),
    key=words,
    ignore=st.lists(words, max_size=2),
    file=st.builds(Form, delimiter=st.sampled_from(["", ";", "\t"]), header=st.booleans()),
    written=st.builds(Written, decimal=st.sampled_from(".,"), dates=st.lists(words, max_size=2), zone=words),
)


@given(mappings)
def test_a_mapping_is_written_as_it_is_read(tmp_path_factory: pytest.TempPathFactory, mapping: Mapping) -> None:
    path = tmp_path_factory.mktemp("maps") / "map.toml"
    path.write_text(to_toml(mapping), "utf-8")
    assert read_mappings(path) == [mapping]


def proposed(crm: Any, path: Path, entity: type[Any]) -> Mapping:
    with open_rows(path) as rows:
        return propose(rows, entity, crm.codec(entity).fields, source="old")


def test_a_proposal_knows_columns_by_name_word_and_content(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(
        "Opportunity ID;Deal name;Company;Sales rep;Value;Closing date;Deal stage;Remarks\n"
        "1;One;Acme;ann;1.250,50;31.12.2026;won;hello\n"
        "2;Two;Best;bob;7,00;;new;\n"
    )
    mapping = proposed(crm, path, Opportunity)
    assert {f: s.column for f, s in mapping.fields.items()} == {
        "name": "Deal name",
        "account": "Company",
        "owner": "Sales rep",
        "amount": "Value",
        "closed_at": "Closing date",
        "stage": "Deal stage",
    }
    assert (mapping.entity, mapping.key, mapping.ignore) == ("sales.opportunity", "old:{Opportunity ID}", ["Remarks"])
    assert (mapping.written.decimal, mapping.fields["closed_at"].dates, mapping.fields["account"].lookup) == (",", ["%d.%m.%Y"], "name")


def test_a_proposal_knows_the_parts_of_addresses_and_the_members_of_an_enum(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("Account name,E-Mail,Phone,Street,Zip,City,Country,Kind\nAcme,a@b.example,1,S,1010,Wien,AT,Companies\n")
    mapping = proposed(crm, path, Account)
    assert {f: s.column for f, s in mapping.fields.items()} == {
        "name": "Account name",
        "emails": "E-Mail",
        "phones": "Phone",
        "addresses.street": "Street",
        "addresses.postal_code": "Zip",
        "addresses.city": "City",
        "addresses.country": "Country",
        "kind": "Kind",
    }
    assert mapping.fields["kind"].values == {"Companies": "company"}


def test_a_proposal_for_real_headers_can_be_imported_but_for_what_only_people_know(crm: Any, test_data: Callable[[str], Path]) -> None:
    folder = test_data("sales/maven_crm_opportunities")
    accounts, deals = proposed(crm, folder / "accounts.csv", Account), proposed(crm, folder / "sales_pipeline.csv", Opportunity)
    assert {f: s.column for f, s in accounts.fields.items()} == {"name": "account", "industry": "sector"}
    assert accounts.key == "old:{account}"
    assert {f: s.column or s.template for f, s in deals.fields.items()} == {
        "name": "Opportunity {opportunity_id}",
        "owner": "sales_agent",
        "product": "product",
        "account": "account",
        "stage": "deal_stage",
        "opened_on": "engage_date",
        "closed_at": "close_date",
        "amount": "close_value",
    }


def test_nothing_is_proposed_for_columns_that_are_like_nothing(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("foo,bar\n1,2\n")
    mapping = proposed(crm, path, Contact)
    assert (mapping.fields, mapping.key, mapping.ignore) == ({}, "", ["foo", "bar"])
