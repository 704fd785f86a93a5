"""Rows become records through the same door as everything else, once, and every row is accounted for [C67]."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from crm_core import (
    Account,
    Actor,
    Change,
    Conflict,
    Contact,
    Entity,
    Extension,
    Field,
    Invalid,
    Money,
    MoneyField,
    Phone,
    Plugin,
    Ref,
    Role,
    User,
    WriteCtx,
    check_write,
    field,
    owner,
)
from crm_core.io import Importer, Report, mapping_of
from crm_core.rules import F
from tests.state import state_hash

plugin = Plugin("trade", version="1.0.0")


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Deal(Entity):
    name: Field[str]
    account: Field[Ref[Account] | None] = field(default=None)
    amount: MoneyField
    day: Field[date | None] = field(default=None)
    size: Field[Size] = field(default=Size.SMALL)
    secret: Field[str | None] = field(default=None)
    origin: Field[str | None] = field(default=None, read_only=True)
    owner: Field[str | None] = field(default=None)
    external_ref: Field[str | None] = field(default=None, unique=True)


class Step(Entity):
    label: Field[str]
    deal: Field[Ref[Deal]]


plugin.entities(Deal, Step)


@plugin.extend(Account)
class Facts(Extension):
    staff: Field[int | None] = field(default=None)


@plugin.hook(check_write, on=Deal)
def no_gifts(ctx: WriteCtx, changes: list[Change]) -> None:
    for change in changes:
        if getattr(change.record, "amount").amount == 13:  # noqa: B009  # a Change holds any entity
            ctx.refuse(change, "trade.thirteen", field="amount")


IMPORT = Actor.system("import", tenant="main")
REP = (
    Role("rep")
    .allow(Account, "read", "create", where=owner)
    .allow(Deal, "read", "create", "update", where=owner, fields={"secret": "none"})
)
MOVER = Role("mover").allow(Deal, "read").allow(Deal, "update", where=F("external_ref") != "t:3")
DEALS = {
    "key": "t:{id}",
    "fields": {"name": "name", "account": {"column": "account", "lookup": "name"}, "amount": {"column": "amount", "currency": "EUR"}},
}
Import = Callable[..., Report]


class People:
    """Two users of one name, and one of another."""

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        return [User("7", "Ann"), User("8", "Bob"), User("9", "Bob")]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


@pytest.fixture
def crm(make_crm: Any) -> Any:
    return make_crm(plugins=[plugin], roles=[REP, MOVER], directory=People())


@pytest.fixture
def bring(crm: Any, tmp_path: Path) -> Import:
    def bring(content: str, mapping: dict[str, Any] = DEALS, entity: str = "deals", actor: Actor = IMPORT, **options: Any) -> Report:
        path = tmp_path / "rows.csv"
        path.write_text(content, encoding="utf-8")
        report = Importer(crm, actor, mapping_of(mapping), entity=entity).run(path, **options)
        assert report.rows == report.created + report.updated + report.unchanged + report.failed + report.blank
        return report

    return bring


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, report.failed


def codes(report: Report) -> list[tuple[int, str, str]]:
    return [(f.line, d.field, d.code) for f in report.failures for d in f.error.details]


def deals(crm: Any, actor: Actor = IMPORT) -> dict[str, Any]:
    with crm.session(actor, write=False) as s:
        return {d.external_ref: d for d in s.query(Deal).all()}


def add_account(crm: Any, *names: str, actor: Actor = IMPORT) -> None:
    with crm.session(actor) as s:
        s.create_many([Account(name=n) for n in names])


def test_rows_become_records_and_a_second_time_nothing_changes(crm: Any, bring: Import) -> None:
    add_account(crm, "Acme")
    rows = "id,name,account,amount\n1,One,Acme,10\n2,Two,,20.5\n"
    first = bring(rows)
    assert (counts(first), first.committed, first.empty) == ((2, 0, 0, 0), True, {"account": 1})
    found = deals(crm)
    assert (found["t:1"].amount, found["t:2"].amount) == (Money(10, "EUR"), Money("20.5", "EUR"))
    assert [found["t:1"].account is None, found["t:2"].account is None] == [False, True]
    before = state_hash(crm)
    assert counts(bring(rows)) == (0, 0, 2, 0)
    assert state_hash(crm) == before


def test_what_differs_is_changed_with_a_journal_row_each_and_an_empty_cell_takes_nothing_away(crm: Any, bring: Import) -> None:
    add_account(crm, "Acme")
    bring("id,name,account,amount\n1,One,Acme,10\n2,Two,Acme,20\n3,Three,,30\n")
    assert counts(bring("id,name,account,amount\n1,Uno,,10\n2,Two,,20\n3,Three,Acme,31\n")) == (0, 2, 1, 0)
    found = deals(crm)
    assert [(d.name, d.version, d.account is not None) for d in found.values()] == [("Uno", 2, True), ("Two", 1, True), ("Three", 2, True)]
    with crm.session(IMPORT, write=False) as s:
        journal = crm.tables.system.journal
        kinds = select(journal.c.kind, func.count()).where(journal.c.entity == "trade.deal").group_by(journal.c.kind)
        rows = dict(s._unit.connection.execute(kinds).all())
        assert rows == {"trade.deal.created.v1": 3, "trade.deal.updated.v1": 2}
        reasons = select(journal.c.reason).where(journal.c.entity == "trade.deal").distinct()
        assert list(s._unit.connection.execute(reasons).scalars()) == ["import rows.csv"]


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


def test_the_currency_may_stand_in_a_column_of_its_own(crm: Any, bring: Import) -> None:
    amount = {"column": "amount", "currency_column": "unit", "currency": "EUR", "decimal": ","}
    report = bring("id;name;amount;unit\n1;a;1,5;USD\n2;b;2;\n3;c;3;XQX\n", {"key": "{id}", "fields": {"name": "name", "amount": amount}})
    assert [str(d.amount) for d in deals(crm).values()] == [str(Money("1.5", "USD")), str(Money(2, "EUR"))]
    assert codes(report) == [(4, "amount", "bad_currency")]


def test_rows_that_change_alike_are_changed_together_and_one_by_one_where_one_of_them_may_not(crm: Any, bring: Import) -> None:
    rep = Actor("7", roles={"mover"})
    add_account(crm, "Acme")
    bring("id,name,account,amount\n1,One,,10\n2,Two,,20\n3,Three,,30\n")
    report = bring("id,name,account,amount\n1,New,,10\n2,New,,20\n3,New,,30\n", actor=rep)
    assert (counts(report), [f.line for f in report.failures]) == ((0, 2, 0, 1), [4])
    assert [d.name for d in deals(crm).values()] == ["New", "New", "Three"]


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


def test_an_import_within_a_session_is_kept_or_lost_with_it(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,name,account,amount\n1,One,,10\n2,Two,,x\n")
    importer = Importer(crm, IMPORT, mapping_of(DEALS), entity="deals")
    before = state_hash(crm)
    with pytest.raises(ZeroDivisionError), crm.session(IMPORT) as s:
        assert counts(importer.run(path, within=s)) == (1, 0, 0, 1)
        assert s.query(Deal).count() == 1
        raise ZeroDivisionError
    assert state_hash(crm) == before
    with crm.session(IMPORT) as s:
        assert not importer.run(path, whole=True, within=s).committed
        assert s.query(Deal).count() == 0
        importer.run(path, within=s)
    assert sorted(deals(crm)) == ["t:1"]


def test_of_rows_with_one_key_the_last_one_counts(crm: Any, bring: Import) -> None:
    report = bring("id,name,account,amount\n1,One,,10\n1,Uno,,10\n2,Two,,20\n1,Eins,,10\n")
    assert counts(report) == (2, 2, 0, 0)
    assert deals(crm)["t:1"].name == "Eins"


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


def test_lists_are_built_of_parts_and_of_separated_cells(crm: Any, bring: Import) -> None:
    mapping = {
        "key": "c:{name}",
        "fields": {
            "name": "name",
            "emails": {"column": "mail", "separator": ";"},
            "phones": "phone",
            "addresses.city": "city",
            "addresses.country": {"column": "country", "values": {"Germany": "de"}},
        },
    }
    rows = "name|mail|phone|city|country\nAnn|Ann@X.com; ann@y.com|+4930123456|Berlin|Germany\nBob||||\nEve|nonsense||Bonn|Germany\n"
    report = bring(rows, mapping, "contacts")
    assert (counts(report), codes(report)) == ((2, 0, 0, 1), [(4, "emails", "bad_email")])
    with crm.session(IMPORT, write=False) as s:
        ann = s.query(Contact).where(Contact.name == "Ann").one()
        assert [e.address for e in ann.emails] == ["ann@x.com", "ann@y.com"]
        assert ann.phones == [Phone("+4930123456", primary=True)]
        assert [(a.city, a.country) for a in ann.addresses] == [("Berlin", "DE")]
    assert counts(bring(rows, mapping, "contacts")) == (0, 0, 2, 1)


def test_fields_of_an_extension_are_imported_under_their_columns_name(crm: Any, bring: Import) -> None:
    mapping = {"key": "{name}", "fields": {"name": "name", "trade_staff": "staff"}}
    assert counts(bring("name,staff\nAcme,12\nBest,\n", mapping, "accounts")) == (2, 0, 0, 0)
    assert counts(bring("name,staff\nAcme,13\nBest,\n", mapping, "accounts")) == (0, 1, 1, 0)
    with crm.session(IMPORT, write=False) as s:
        assert s.query(Account).where(Account.name == "Acme").one()[Facts].staff == 13


def test_json_lines_are_imported_with_their_types(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "deals.jsonl"
    lines = [
        {"id": 1, "name": "One", "amount": {"amount": "1.50", "currency": "EUR"}, "size": "large"},
        {"id": 2, "name": "Two", "amount": 7.25},
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    mapping = {"key": "t:{id}", "fields": {"name": "name", "amount": {"column": "amount", "currency": "USD"}, "size": "size"}}
    assert counts(Importer(crm, IMPORT, mapping_of(mapping), entity="deal").run(path)) == (2, 0, 0, 0)
    found = deals(crm)
    assert [(d.amount, d.size) for d in found.values()] == [(Money("1.5", "EUR"), Size.LARGE), (Money("7.25", "USD"), Size.SMALL)]


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


def test_progress_is_told_after_each_batch(bring: Import) -> None:
    told: list[tuple[float, int]] = []
    rows = "id,name,account,amount\n" + "".join(f"{n},N,,1\n" for n in range(2000))
    bring(rows, batch=400, progress=lambda done, report: told.append((done, report.created)))
    assert [n for _, n in told] == [400, 800, 1200, 1600, 2000, 2000]
    assert sorted(told) == told
    assert told[-1][0] == 1.0


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


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6) | st.sampled_from(["1", "2", "13", "x", "1e9", "Acme"])


@given(st.lists(st.tuples(cells, cells, cells, cells), max_size=12), st.integers(1, 5), st.booleans())
def test_whatever_the_cells_are_every_row_is_accounted_for(
    crm: Any, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], batch: int, whole: bool
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerow(["id", "name", "account", "amount"])
        writer.writerows(rows)
    importer = Importer(crm, IMPORT, mapping_of(DEALS), entity="deals")
    before = len(deals(crm))
    report = importer.run(path, batch=batch, whole=whole)
    assert report.rows == len(rows)
    assert report.rows == report.created + report.updated + report.unchanged + report.failed + report.blank
    assert len(deals(crm)) == before + (report.created if report.committed else 0)
    again = importer.run(path, batch=batch)
    assert (again.created if report.committed else 0) == 0
