"""[C76] A field of every kind, amounts too, in files, forms, schemas, journal, events, rights, pages and other tenants."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Contact, CRMError, CustomKind, Invalid, Money, Role, Runtime, custom
from crm_core.io import Importer, export, mapping_of, open_rows, propose
from crm_core.io import Mapping as Mapped
from crm_core.testing.databases import Databases
from crm_core.testing.plugin import filled
from tests.session.json_schemas import check_schema, wrong

TENANT = "acme"
ADMIN = Actor.system("setup", tenant=TENANT)
REP = Actor("7", tenant=TENANT, roles={"rep"})
STRANGER = Actor.system("setup", tenant="other")
EUR = "EUR"

# By kind: what is said of the field beside, and three values; as they are, as JSON has them, and as a cell of a file does.
KINDS: Mapping[str, tuple[Mapping[str, Any], list[Any], list[Any], list[str]]] = {
    "text": ({"pattern": "[a-zäA-Z ]+"}, ["ä b", "B", "a"], ["ä b", "B", "a"], ["ä b", "B", "a"]),
    "integer": ({"min": -5}, [-5, 2**53 + 1, 0], [-5, 2**53 + 1, 0], ["-5", str(2**53 + 1), "0"]),
    "decimal": (
        {"scale": 3},
        [Decimal("-0.125"), Decimal("1234567890123.500"), Decimal(0)],
        ["-0.125", "1234567890123.500", "0.000"],
        ["-0.125", "1234567890123.500", "0.000"],
    ),
    "money": (
        {"currency": EUR, "scale": 2},
        [Money("-1.10", EUR), Money("12345678901234.56", EUR), Money(0, EUR)],
        [{"amount": a, "currency": EUR} for a in ("-1.10", "12345678901234.56", "0.00")],
        ["-1.10", "12345678901234.56", "0.00"],
    ),
    "boolean": ({}, [True, False, True], [True, False, True], ["true", "false", "true"]),
    "date": (
        {},
        [date(999, 1, 2), date(2026, 2, 28), date(2026, 3, 1)],
        ["0999-01-02", "2026-02-28", "2026-03-01"],
        ["0999-01-02", "2026-02-28", "2026-03-01"],
    ),
    "instant": (
        {},
        [datetime(2026, 1, 1, 12, 0, 0, n, tzinfo=UTC) for n in (0, 1, 2)],
        ["2026-01-01T12:00:00.000000+00:00", "2026-01-01T12:00:00.000001+00:00", "2026-01-01T12:00:00.000002+00:00"],
        ["2026-01-01T12:00:00.000000+00:00", "2026-01-01T12:00:00.000001+00:00", "2026-01-01T12:00:00.000002+00:00"],
    ),
    "choice": ({"options": ["gold", "tin"]}, ["gold", "tin", "gold"], ["gold", "tin", "gold"], ["gold", "tin", "gold"]),
    "url": ({}, ["https://a.example", "http://b.example/?c=d", "https://c.example"], [], []),
    "email": ({}, ["ann@a.example", "bo@b.example", "cy@c.example"], [], []),
}  # fmt: skip
NAMES = [f"a_{kind}" for kind in KINDS]
EVERY = ("read", "create", "update", "delete", "export")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crm(request: pytest.FixtureRequest) -> Any:
    databases: Databases = request.getfixturevalue("sqlite_databases" if request.param == "sqlite" else "postgres_databases")
    hidden: dict[str, Any] = {f"custom.{name}": "none" for name in NAMES}
    roles = [Role("rep").allow(Account, *EVERY, fields=hidden), Role("boss").allow(Account, *EVERY)]
    crm, database = filled(databases, plugins=[], roles=roles, runtime=Runtime.seeded(76))
    with crm.session(ADMIN) as s:
        for kind, (options, *_) in KINDS.items():
            s.custom_fields.add(Account, f"a_{kind}", kind=kind, **options)
        s.custom_fields.add(Account, "a_reference", kind="reference", target=Contact)
        ann = s.create(Contact(name="Ann"))
        for n in range(3):
            values = {name: KINDS[name[2:]][1][n] for name in NAMES}
            s.create(Account(name=f"r{n}", custom={**values, "a_reference": ann.ref}))
        s.create(Account(name="r3"))
    with crm.session(STRANGER) as s:
        s.create(Account(name="theirs"))
    yield crm
    crm.close()
    databases.drop(database)


def test_all_kinds_are_here() -> None:
    assert {*KINDS, "reference"} == {kind.value for kind in CustomKind}


def kept(s: Any, name: str) -> list[Any]:
    return [a.custom[name] for a in s.query(Account).where(Account.name.startswith("r")).order_by(Account.name).all()]


def test_a_file_that_was_exported_is_imported_again_as_it_is_proposed(crm: CRM, tmp_path: Path) -> None:
    """CSV, and the same cells as a workbook has them; a second import changes nothing."""
    openpyxl = pytest.importorskip("openpyxl", reason="the extra io is not installed")
    path = tmp_path / "accounts.csv"
    fields = ["name", *(f"custom.{n}" for n in NAMES), "custom.a_reference"]
    with crm.session(ADMIN) as s:
        export(s, s.query(Account).where(Account.name.startswith("r")).order_by(Account.name), path, fields=fields)
        values = {n: kept(s, n) for n in [*NAMES, "a_reference"]}
    lines = path.read_text("utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    for kind, (_, given, _, cells) in KINDS.items():
        assert [row[f"custom.a_{kind}"] for row in rows] == [*(cells or given), ""], kind
    assert [row["custom.a_money_currency"] for row in rows] == [EUR, EUR, EUR, ""]
    book = openpyxl.Workbook()
    for row in csv.reader(lines):
        book.active.append(row)
    book.save(tmp_path / "accounts.xlsx")
    for file in (path, tmp_path / "accounts.xlsx"):
        proposed = made_up(crm, file)
        assert proposed.ignore == []
        report = Importer(crm, ADMIN, proposed).run(file)
        assert (report.created, report.updated, report.unchanged, report.failures) == (0, 0, 4, [])
    with crm.session(ADMIN) as s:
        for account in s.query(Account).where(Account.name.startswith("r")).all():
            s.delete(account)
    for file in (path, tmp_path / "accounts.xlsx"):
        report = Importer(crm, ADMIN, made_up(crm, file)).run(file)
        assert report.failures == []
    assert report.unchanged == 4
    with crm.session(ADMIN) as s:
        assert {n: kept(s, n) for n in [*NAMES, "a_reference"]} == values


def made_up(crm: CRM, path: Path) -> Mapped:
    """Propose a mapping as ``crm import --propose`` does."""
    with crm.session(ADMIN, write=False) as s, open_rows(path) as rows:
        found = propose(rows, Account, s.codec(Account).fields)
    return mapping_of(
        {"entity": "account", "match": "name", "fields": {n: _said(f) for n, f in found.fields.items()}, "ignore": found.ignore}
    )


def _said(source: Any) -> dict[str, Any]:
    return {n: v for n, v in (("column", source.column), ("currency_column", source.currency_column)) if v}


def test_a_cell_without_a_currency_is_in_that_of_the_field_and_a_wrong_one_is_named(crm: CRM, tmp_path: Path) -> None:
    path = tmp_path / "amounts.csv"
    path.write_text("Name;Budget\nm1;1.234,50\nm2;EUR 7\nm3;USD 7\nm4;1,234\nm5;x\nm6;\n", encoding="utf-8")
    fields = {"name": "Name", "custom.a_money": {"column": "Budget", "decimal": ","}}
    report = Importer(crm, ADMIN, mapping_of({"entity": "account", "match": "name", "fields": fields})).run(path)
    said = {f.line: [(d.field, d.code) for d in f.error.details] for f in report.failures}
    assert [said[n] for n in sorted(said)] == [[("custom.a_money", c)] for c in ("custom_currency", "too_precise", "import_bad_number")]
    with crm.session(ADMIN) as s:
        found = s.query(Account).where(Account.name.startswith("m")).order_by(Account.name).all()
        assert [a.custom["a_money"] for a in found] == [Money("1234.50", EUR), Money(7, EUR), None]
        for account in found:
            s.delete(account)


def test_json_lines_hold_what_to_json_says_and_come_back(crm: CRM, tmp_path: Path) -> None:
    path = tmp_path / "accounts.jsonl"
    fields = ["name", *(f"custom.{n}" for n in NAMES), "custom.a_reference"]
    with crm.session(ADMIN) as s:
        export(s, s.query(Account).where(Account.name.startswith("r")).order_by(Account.name), path, fields=fields)
        one = s.query(Account).where(Account.name == "r1").one()
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for kind, (_, given, plain, _) in KINDS.items():
        assert [line[f"custom.a_{kind}"] for line in lines] == [*(plain or given), None], kind
    assert {n: lines[1][f"custom.{n}"] for n in NAMES} == {n: crm.to_json(one)["custom"][n] for n in NAMES}
    mapping = mapping_of({"entity": "account", "match": "name", "fields": {n: n for n in fields}})
    report = Importer(crm, ADMIN, mapping).run(path)
    assert (report.unchanged, report.failures) == (4, [])


def test_forms_and_schemas_tell_of_every_kind_and_the_schema_fits_its_records(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        told = s.describe(Account)["fields"]
        schema = s.json_schema(Account)
        made = [crm.to_json(a) for a in s.query(Account).all()]
    assert {n: told[f"custom.a_{n}"]["type"] for n in KINDS} == {n: n for n in KINDS}
    assert told["custom.a_money"]["currency"] == EUR
    check_schema(schema)
    own = schema["properties"]["custom"]
    assert [list(wrong(own, record["custom"])) for record in made] == [[]] * len(made)
    bad = {"a_integer": "1", "a_boolean": 1, "a_choice": "silver", "a_money": {"amount": "1", "currency": "USD"}, "a_date": 5}
    assert [name for name, value in bad.items() if not list(wrong(own, {name: value}))] == []


def test_history_and_the_past_have_the_values_of_every_kind(crm: CRM) -> None:
    clock = crm.runtime.clock
    with crm.session(ADMIN) as s:
        first = {n: KINDS[n[2:]][1][0] for n in NAMES}
        made = s.create(Account(name="h", custom=first))
    then = clock.now()
    clock.advance(timedelta(hours=1))  # type: ignore[attr-defined]  # a fixed one
    with crm.session(ADMIN) as s:
        second = {n: KINDS[n[2:]][1][1] for n in NAMES}
        s.update(Account, made.id, {"custom": second})
        known = {**first, "a_reference": None}
        assert s.as_of(then).get(Account, made.id).custom == known
        assert s.as_of(then).query(Account).where(custom("a_money") == first["a_money"], Account.name == "h").count() == 1
        changes = s.history(made).items[0].changes
        for kind, (_, given, plain, _) in KINDS.items():
            told = changes[f"custom.a_{kind}"]
            assert [told.old, told.new] == (plain or given)[:2], kind
        s.delete(made)


def test_who_may_not_read_a_field_of_any_kind_neither_finds_sorts_exports_imports_nor_hears_of_it(crm: CRM, tmp_path: Path) -> None:
    path = tmp_path / "seen.csv"
    with crm.session(REP) as s:
        assert all(set(a.custom) == {"a_reference"} for a in s.query(Account).all())
        export(s, s.query(Account), path)
        assert not [line for line in path.read_text("utf-8").splitlines()[:1] if "custom.a_money" in line or "custom.a_text" in line]
        assert not [n for n in s.describe(Account)["fields"] if n in {f"custom.{name}" for name in NAMES}]
        for name in NAMES:
            value = KINDS[name[2:]][1][0]
            for ask in (
                lambda name=name, value=value: s.query(Account).where(custom(name) == value),
                lambda name=name: s.query(Account).order_by(custom(name)),
                lambda name=name: export(s, s.query(Account), path, fields=[f"custom.{name}"]),
                lambda name=name, value=value: s.create(Account(name="x", custom={name: value})),
                lambda name=name: s.query(Account).matching({"sort": f"custom.{name}"}, allow=[f"custom.{name}"]),
            ):
                with pytest.raises(Invalid) as refused:
                    ask()
                assert refused.value.code in ("rule_unknown_field", "unknown_field", "unknown_sort", "invalid"), refused.value.code
    mapping = mapping_of({"entity": "account", "match": "name", "fields": {"name": "name", "custom.a_money": "custom.a_money"}})
    source = tmp_path / "in.csv"
    source.write_text("name,custom.a_money\nnew,EUR 1\n", encoding="utf-8")
    with pytest.raises(CRMError) as unknown:
        Importer(crm, REP, mapping).run(source)
    assert [d.code for d in unknown.value.details] == ["import_no_field"]


def test_pages_by_every_kind_go_on_over_what_has_no_value(crm: CRM) -> None:
    with crm.session(ADMIN, write=False) as s:
        for name in NAMES:
            values = [v for v in kept(s, name) if v is not None]
            for down in (False, True):
                order = custom(name).desc() if down else custom(name)
                query = s.query(Account).where(Account.name.startswith("r")).order_by(order)
                found: list[Account] = []
                after = None
                while True:
                    page = query.page(1, after=after)
                    found += page
                    after = page.next
                    if after is None:
                        break
                key = (lambda v: v.amount) if name == "a_money" else (lambda v: v)
                assert [a.custom[name] for a in found] == [*sorted(values, key=key, reverse=down), None], name
                assert len({a.id for a in found}) == 4
            assert [a.name for a in s.query(Account).where(custom(name).is_null(), Account.name.startswith("r")).all()] == ["r3"]


def test_another_tenant_has_nothing_of_a_field_of_any_kind_and_its_own_of_the_same_name(crm: CRM) -> None:
    with crm.session(STRANGER) as s:
        assert s.query(Account).one().custom == {}
        for name in NAMES:
            with pytest.raises(Invalid):
                s.query(Account).where(custom(name).is_null())
        s.custom_fields.add(Account, "a_text", kind="money", currency="USD", scale=3)
        theirs = s.create(Account(name="theirs too", custom={"a_text": Money("1.5", "USD")}))
        assert s.query(Account).where(custom("a_text") > Money(1, "USD")).one() == theirs
    with crm.session(ADMIN) as s:
        assert s.query(Account).where(custom("a_text") == "B").one().name == "r1"
    with crm.session(STRANGER) as s:
        s.delete(theirs)
        s.custom_fields.delete(Account, "a_text", with_data=True)
