"""A row may hold several records that belong together: each is made once, and a row comes in wholly or not at all [C67]."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_core import Account, Actor, Change, Contact, Entity, Field, Invalid, Plugin, Ref, Role, WriteCtx, check_write, field
from crm_core.io import Importer, Report, mapping_of, read_mappings, to_toml
from crm_core.testing.state import state_hash

plugin = Plugin("fair", version="1.0.0")


class Talk(Entity):
    topic: Field[str]
    account: Field[Ref[Account] | None] = field(default=None)
    contact: Field[Ref[Contact] | None] = field(default=None)
    external_ref: Field[str | None] = field(default=None, unique=True)


plugin.entities(Talk)


@plugin.hook(check_write, on=Talk)
def no_weather(ctx: WriteCtx, changes: list[Change]) -> None:
    for change in changes:
        if getattr(change.record, "topic") == "weather":  # noqa: B009  # a Change holds any entity
            ctx.refuse(change, "fair.weather", field="topic")


IMPORT = Actor.system("import", tenant="main")
LISTENER = Role("listener").allow(Talk, "read", "create").allow(Account, "read")
COMPANY = {"entity": "account", "key": "f:{company}", "fields": {"name": "company", "industry": "branch"}}
PERSON = {"entity": "contact", "key": "f:{mail}", "fields": {"name": "person", "emails": "mail", "account": {"record": "company"}}}
TALKS: dict[str, Any] = {
    "entity": "talks",
    "key": "f:{nr}",
    "fields": {"topic": "topic", "account": {"record": "company"}, "contact": {"record": "person"}},
    "records": {"person": PERSON, "company": COMPANY},
}
HEAD = "nr,topic,company,branch,person,mail\n"
Import = Callable[..., Report]


@pytest.fixture
def crm(make_crm: Any) -> Any:
    return make_crm(plugins=[plugin], roles=[LISTENER])


@pytest.fixture
def bring(crm: Any, tmp_path: Path) -> Import:
    def bring(rows: str, mapping: dict[str, Any] = TALKS, actor: Actor = IMPORT, **options: Any) -> Report:
        path = tmp_path / "rows.csv"
        path.write_text(HEAD + rows, encoding="utf-8")
        return Importer(crm, actor, mapping_of(mapping)).run(path, **options)

    return bring


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, report.failed


def related(report: Report) -> dict[str, tuple[int, int]]:
    return {name: (found["created"], found["updated"]) for (name, _), found in report.related.items()}


def codes(report: Report) -> list[tuple[int, str, str]]:
    return [(f.line, d.field, d.code) for f in report.failures for d in f.error.details]


def talks(crm: Any) -> dict[str, tuple[str | None, str | None, str | None]]:
    """By topic: the company, the person, and the person's company."""
    with crm.session(IMPORT, write=False) as s:
        accounts = {a.id: a.name for a in s.query(Account).all()}
        contacts = {c.id: c for c in s.query(Contact).all()}
        found = {}
        for t in s.query(Talk).all():
            person = contacts[t.contact.id] if t.contact else None
            company = accounts[t.account.id] if t.account else None
            works = accounts[person.account.id] if person and person.account else None
            found[t.topic] = (company, person.name if person else None, works)
        return found


def test_each_record_of_a_row_is_made_once_and_points_at_the_others(crm: Any, bring: Import) -> None:
    rows = "1,tea,Acme,food,Ann,ann@x.com\n2,cups,Acme,,Bob,bob@x.com\n3,pots,Best,,,\n4,milk,,,,\n5,sugar,Acme,,Ann,ann@x.com\n"
    report = bring(rows)
    assert (counts(report), related(report)) == ((5, 0, 0, 0), {"company": (2, 0), "person": (2, 0)})
    assert talks(crm) == {
        "tea": ("Acme", "Ann", "Acme"),
        "cups": ("Acme", "Bob", "Acme"),
        "pots": ("Best", None, None),
        "milk": (None, None, None),
        "sugar": ("Acme", "Ann", "Acme"),
    }
    assert report.empty == {"account": 1, "contact": 2}
    before = state_hash(crm)
    again = bring(rows)
    assert (counts(again), related(again)) == ((0, 0, 5, 0), {"company": (0, 0), "person": (0, 0)})
    assert state_hash(crm) == before


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_a_row_that_fails_leaves_nothing_and_takes_no_other_row_with_it(crm: Any, bring: Import, batch: int) -> None:
    rows = (
        "1,tea,Acme,food,Ann,ann@x.com\n"
        "2,weather,New,,Cid,cid@x.com\n"  # the talk is refused after its company was made
        "3,cups,Acme,,Dan,nonsense\n"  # a cell of the person cannot be read
        f"4,pots,Acme,{'x' * 101},Eve,eve@x.com\n"  # the company is refused for what this row alone says
        "5,milk,,,Fay,\n"  # a person without the key
        "6,sugar,New,,Gus,gus@x.com\n"
    )
    report = bring(rows, batch=batch)
    assert (counts(report), related(report)) == ((2, 0, 0, 4), {"company": (2, 0), "person": (2, 0)})
    assert sorted(codes(report)) == [
        (3, "topic", "fair.weather"),
        (4, "person.emails", "bad_email"),
        (5, "company.industry", "too_long"),
        (6, "person.external_ref", "import_no_key"),
    ]
    assert talks(crm) == {"tea": ("Acme", "Ann", "Acme"), "sugar": ("New", "Gus", "New")}
    with crm.session(IMPORT, write=False) as s:
        assert (s.query(Account).count(), s.query(Contact).count()) == (2, 2)


def test_what_rows_say_of_one_record_is_put_together_and_where_they_disagree_the_later_one_counts(crm: Any, bring: Import) -> None:
    report = bring("1,tea,Acme,,,\n2,cups,Acme,food,,\n3,pots,Acme,toys,,\n")
    assert (counts(report), related(report)) == ((3, 0, 0, 0), {"company": (1, 1)})
    with crm.session(IMPORT, write=False) as s:
        assert [a.industry for a in s.query(Account).all()] == ["toys"]


@pytest.mark.parametrize("batch", [1, 1000])
def test_what_a_row_lacks_no_row_behind_it_makes_good(crm: Any, bring: Import, batch: int) -> None:
    report = bring("1,tea,,,,ann@x.com\n2,cups,,,Ann,ann@x.com\n3,pots,,,,ann@x.com\n", batch=batch)
    assert (counts(report), codes(report)) == ((2, 0, 0, 1), [(2, "person.name", "required")])
    assert talks(crm) == {"cups": (None, "Ann", None), "pots": (None, "Ann", None)}


def test_a_dry_run_tells_of_related_records_and_leaves_no_trace(crm: Any, bring: Import) -> None:
    before = state_hash(crm)
    report = bring("1,tea,Acme,food,Ann,ann@x.com\n2,cups,Acme,,,\n", dry_run=True)
    assert (counts(report), related(report), report.committed) == ((2, 0, 0, 0), {"company": (1, 0), "person": (1, 0)}, False)
    assert state_hash(crm) == before


def test_a_related_record_is_known_again_by_another_field_and_may_look_others_up(crm: Any, bring: Import) -> None:
    with crm.session(IMPORT) as s:
        s.create_many([Account(name="Acme"), Account(name="Twin"), Account(name="Twin")])
    by_name = {"entity": "account", "match": "name", "fields": {"name": "company", "parent": {"column": "branch", "lookup": "name"}}}
    report = bring(
        "1,tea,New,Acme,,\n2,cups,Twin,,,\n3,pots,Other,Nobody,,\n", {**TALKS, "records": {"company": by_name, "person": PERSON}}
    )
    assert (counts(report), related(report)) == ((1, 0, 0, 2), {"company": (1, 0)})
    assert sorted(codes(report)) == [(3, "company.name", "import_ambiguous"), (4, "company.parent", "import_unknown")]
    assert [(u.field, u.value) for u in report.unknown] == [("company.parent", "Nobody")]


def test_an_actor_makes_related_records_only_where_its_roles_allow(crm: Any, bring: Import) -> None:
    report = bring("1,tea,Acme,,,\n2,cups,,,,\n", actor=Actor("7", roles={"listener"}))
    assert (counts(report), [(f.line, f.error.code) for f in report.failures]) == ((1, 0, 0, 1), [(2, "denied")])
    assert talks(crm) == {"cups": (None, None, None)}


def test_what_does_not_fit_is_said_of_all_records_at_once(bring: Import) -> None:
    fields = {"topic": "topic", "account": {"record": "person"}, "contact": {"record": "persn"}}
    nameless = {"entity": "contact", "fields": {"nam": "person"}}
    with pytest.raises(Invalid) as raised:
        bring("", {**TALKS, "fields": fields, "records": {"person": nameless, "company": {**COMPANY, "key": "{firm}"}}})
    assert {(d.field, d.code, d.params.get("suggestion", "")) for d in raised.value.details} == {
        ("records.person", "import_related_key", ""),
        ("records.person.nam", "import_no_field", "name"),
        ("records.person.name", "import_unmapped_field", ""),
        ("records.company.key", "import_no_column", ""),
        ("account", "import_no_record", ""),
        ("contact", "import_no_record", "person"),
    }


def test_related_records_that_point_at_each_other_in_a_circle_are_refused(bring: Import) -> None:
    one = {"entity": "account", "key": "{company}", "fields": {"name": "company", "parent": {"record": "other"}}}
    other = {"entity": "account", "key": "{branch}", "fields": {"name": "branch", "parent": {"record": "one"}}}
    with pytest.raises(Invalid) as raised:
        bring("", {"entity": "talks", "fields": {"topic": "topic"}, "records": {"one": one, "other": other}})
    assert (raised.value.code, sorted(set(raised.value.params["records"]))) == ("import_circular", ["one", "other"])


def test_a_mapping_with_related_records_is_read_as_it_was_written(tmp_path: Path) -> None:
    mapping = mapping_of(TALKS)
    (tmp_path / "m.toml").write_text(to_toml(mapping), "utf-8")
    assert read_mappings(tmp_path / "m.toml") == [mapping]


row = st.tuples(
    st.sampled_from(["tea", "weather", ""]),
    st.sampled_from(["Acme", "Best", ""]),
    st.sampled_from(["", "food", "x" * 101]),
    st.sampled_from(["Ann", ""]),
    st.sampled_from(["a@x.com", "b@x.com", "bad", ""]),
)


@given(st.lists(row, max_size=10), st.integers(1, 5))
@settings(max_examples=40)
@example([("tea", "Acme", "", "", "b@x.com"), ("tea", "Acme", "", "Ann", "b@x.com")], 2)
def test_whatever_the_rows_say_each_record_is_there_once_and_as_if_rows_came_one_by_one(
    crm: Any, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], size: int
) -> None:
    """[C67] A batch is a matter of speed alone: one row at a time gives the same records and the same failures."""
    path = tmp_path_factory.mktemp("rows") / "rows.csv"

    def brought(prefix: str, batch: int) -> tuple[Any, ...]:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
            writer.writerow(["nr", "topic", "company", "branch", "person", "mail"])
            writer.writerows((n, *cells) for n, cells in enumerate(rows))
        parts = {name: {**part, "key": f"{prefix}:{part['key']}"} for name, part in TALKS["records"].items()}
        report = Importer(crm, IMPORT, mapping_of({**TALKS, "key": prefix + ":{nr}", "records": parts})).run(path, batch=batch)
        with crm.session(IMPORT, write=False) as s:
            made = Counter(
                (type(r).__name__, r.name, getattr(r, "industry", None))
                for e in (Account, Contact)
                for r in s.query(e).all()
                if r.external_ref.startswith(f"{prefix}:")
            )
        return counts(report), codes_by_line(report), made

    prefix = crm.runtime.ids.new()
    assert brought(f"{prefix}a", size) == brought(f"{prefix}b", 1)


def codes_by_line(report: Report) -> list[tuple[int, str]]:
    return sorted((f.line, f.error.code) for f in report.failures)
