"""What rows refer to is found, proposed or made, within what the actor may read; a mapping that does not fit is refused [C67]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_core import (
    Account,
    Actor,
    Conflict,
    Invalid,
    Role,
)
from crm_core.io import Importer, mapping_of
from crm_core.testing.state import state_hash
from tests.io.deals import DEALS, IMPORT, Deal, Import, add_account, codes, counts, deals, plugin


def test_what_cannot_be_created_from_its_name_alone_is_said(crm: Any, bring: Import) -> None:
    fields = {"name": "name", "amount": {"column": "amount", "currency": "EUR"}}
    bring("id,name,amount\n1,One,1\n", {"key": "t:{id}", "fields": fields})
    steps = {"label": "label", "deal": {"column": "deal", "lookup": "name", "missing": "create"}}
    report = bring("label,deal\na,One\nb,Two\n", {"fields": steps}, "steps")
    assert (counts(report), codes(report)) == ((1, 0, 0, 1), [(3, "deal", "import_cannot_create")])


def test_of_very_many_names_one_that_begins_alike_is_proposed(crm: Any, bring: Import) -> None:
    add_account(crm, *(f"Company {n:04}" for n in range(2001)), "Zeppelin GmbH")
    report = bring("id,name,account,amount\n1,One,Zepelin GmbH,10\n")
    assert [u.proposal for u in report.unknown] == ["Zeppelin GmbH"]


def test_missing_references_are_created_once_or_left_empty_where_that_is_asked_for(crm: Any, bring: Import) -> None:
    rows = "id,name,account,amount\n1,One,Acme,10\n2,Two,Acme,20\n3,Three,Best,x\n"
    fields = DEALS["fields"]
    assert isinstance(fields, dict)
    created = bring(rows, {**DEALS, "fields": {**fields, "account": {"column": "account", "lookup": "name", "missing": "create"}}})
    assert (counts(created), created.references) == ((2, 0, 0, 1), {"account": 1})
    assert [u.value for u in created.unknown] == ["Best"]  # nobody is created for a row that fails
    left = bring(
        "id,name,account,amount\n4,Four,Cost,10\n",
        {**DEALS, "fields": {**fields, "account": {"column": "account", "lookup": "name", "missing": "empty"}}},
    )
    assert (counts(left), left.empty, [u.value for u in left.unknown]) == ((1, 0, 0, 0), {"account": 1}, ["Cost"])


def test_a_row_may_refer_to_a_row_behind_it(crm: Any, bring: Import) -> None:
    mapping = {"key": "{name}", "fields": {"name": "name", "parent": {"column": "parent", "lookup": "name"}}}
    report = bring("name,parent\nC,B\nB,A\nA,\nX,Y\nP,Q\nQ,P\n", mapping, "accounts", batch=1)
    assert counts(report) == (3, 0, 0, 3)
    assert sorted(codes(report)) == [(5, "parent", "import_unknown"), (6, "parent", "import_unknown"), (7, "parent", "import_unknown")]
    with crm.session(IMPORT, write=False) as s:
        found = {a.name: s.related(a, Account.parent) for a in s.query(Account).preload(Account.parent).all()}
        assert {n: p.name if p else None for n, p in found.items()} == {"A": None, "B": "A", "C": "B"}


def test_records_are_known_again_by_another_field_where_there_is_no_key(crm: Any, bring: Import) -> None:
    mapping = {"match": "name", "fields": {"name": "name", "industry": "industry"}}
    add_account(crm, "Acme", "Twin", "Twin")
    report = bring("name,industry\nAcme,toys\nNew,food\nTwin,tea\n", mapping, "accounts")
    assert (counts(report), codes(report)) == ((1, 1, 0, 1), [(4, "name", "import_ambiguous")])


def test_users_are_known_by_id_and_by_a_name_that_only_one_has(crm: Any, bring: Import) -> None:
    fields = DEALS["fields"]
    assert isinstance(fields, dict)
    mapping = {**DEALS, "fields": {**fields, "owner": {"column": "agent", "user": True}}}
    report = bring("id,name,account,amount,agent\n1,a,,1,8\n2,b,,1,Ann\n3,c,,1,Bob\n4,d,,1,An\n5,e,,1,\n", mapping)
    assert {k: d.owner for k, d in deals(crm).items()} == {"t:1": "8", "t:2": "7", "t:5": None}
    assert codes(report) == [(4, "owner", "import_ambiguous"), (5, "owner", "import_unknown")]
    assert report.unknown[0].proposal == "Ann"


def test_an_import_can_do_no_more_than_its_actor(crm: Any, bring: Import) -> None:
    rep = Actor("7", roles={"rep"})
    add_account(crm, "Theirs")
    add_account(crm, "Mine", actor=rep)
    bring("id,name,account,amount\n1,One,,10\n")
    report = bring("id,name,account,amount\n1,Uno,,10\n2,Two,Theirs,20\n3,Three,Mine,30\n4,Four,Thein,40\n", actor=rep)
    assert counts(report) == (1, 0, 0, 3)
    assert {(u.value, u.proposal) for u in report.unknown} == {("Theirs", ""), ("Thein", "")}
    assert [type(f.error) for f in report.failures if f.line == 2] == [Conflict]
    assert {k: d.owner for k, d in deals(crm).items()} == {"t:1": None, "t:3": "7"}
    assert deals(crm)["t:1"].name == "One"


@pytest.mark.parametrize("name", ["secret", "nonsense", "id", "version", "origin"])
def test_hidden_unknown_and_system_fields_cannot_be_mapped(bring: Import, name: str) -> None:
    fields = DEALS["fields"]
    assert isinstance(fields, dict)
    with pytest.raises(Invalid) as raised:
        bring("id,name,account,amount,x\n", {**DEALS, "fields": {**fields, name: "x"}}, actor=Actor("7", roles={"rep"}))
    expected = "read_only_field" if name in ("id", "version", "origin") else "import_no_field"
    assert [(d.field, d.code) for d in raised.value.details] == [(name, expected)]


@pytest.mark.parametrize("level", ["none", "masked"])
def test_a_record_cannot_be_looked_up_by_what_the_actor_may_not_read(make_crm: Any, tmp_path: Path, level: Any) -> None:
    """[C67] Rows that fail or not would tell a hidden value guess by guess; a hidden field's error is an unknown field's."""
    clerk = Role("clerk").allow(Account, "read", fields={"external_ref": level}).allow(Deal, "read", "create")
    crm = make_crm(plugins=[plugin], roles=[clerk])
    path = tmp_path / "rows.csv"
    path.write_text("name,account\nOne,secret-1\n")
    told = []
    for lookup in ("external_ref", "nonsense"):
        fields = {"name": "name", "account": {"column": "account", "lookup": lookup}, "amount": {"constant": "EUR 1"}}
        with pytest.raises(Invalid) as raised:
            Importer(crm, Actor("7", roles={"clerk"}), mapping_of({"fields": fields}), entity="deals").run(path)
        told.append([(d.field, d.code, {**d.params, "lookup": ""}) for d in raised.value.details])
    assert told[0] == told[1] == [("account", "import_no_lookup", {"lookup": ""})]


def test_a_mapping_that_does_not_fit_says_everything_at_once_and_writes_nothing(crm: Any, bring: Import) -> None:
    before = state_hash(crm)
    with pytest.raises(Invalid) as raised:
        bring(
            "id,Name,amount\n1,One,10\n",
            {
                "key": "t:{ids}",
                "fields": {
                    "name": "name",
                    "acount": "id",
                    "account": {"column": "id", "lookup": "nam"},
                    "day": {"column": "id", "zone": "Mars"},
                },
                "written": {"zone": "Moon"},
            },
        )
    assert {(d.field, d.code, d.params.get("suggestion", "")) for d in raised.value.details} == {
        ("name", "import_no_column", "Name"),
        ("acount", "import_no_field", "account"),
        ("account", "import_no_lookup", ""),
        ("key", "import_no_column", "id"),
        ("amount", "import_unmapped_field", ""),
        ("written.zone", "import_bad_zone", ""),
    }
    assert state_hash(crm) == before


def test_columns_that_nobody_takes_are_named(bring: Import) -> None:
    report = bring("id,name,account,amount,extra,more\n1,One,,10,x,y\n", {**DEALS, "ignore": ["more"]})
    assert report.unmapped == ["extra"]


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("deals", Deal),
        ("deal", Deal),
        ("trade.deal", Deal),
        ("Trade.Deals", Deal),
        ("accounts", Account),
        ("affiliations", None),
        ("dael", None),
    ],
)
def test_entities_go_by_their_names_short_or_whole_in_singular_or_plural(crm: Any, name: str, entity: type[Any] | None) -> None:
    from crm_core import Affiliation
    from crm_core.io.plan import find_entity

    if name == "dael":
        with pytest.raises(Invalid) as raised:
            find_entity(crm.tables.entities, name)
        assert raised.value.params["suggestion"] == "deals"
    else:
        assert find_entity(crm.tables.entities, name) is (entity or Affiliation)
