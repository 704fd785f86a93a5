"""An import can be taken back: what it made goes, what it changed is as before, and what others changed since is theirs [C67]."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crm_sales
from crm_core import Account, Actor, Contact, ImportRun, ImportState, Invalid, NotFound, Role
from crm_core.io import Importer, Report, mapping_of, undo
from crm_core.rules import owner
from crm_sales.api import Opportunity

IMPORT = Actor.system("import", tenant="main")
CLERK = Role("clerk").allow(Account, "read", "create", "update", "delete", where=owner)
TEMP = Role("temp").allow(Account, "read", "create", "update")
READER = Role("reader").allow(ImportRun, "read").allow(Account, "read", "update")
ACCOUNTS: dict[str, Any] = {"entity": "accounts", "key": "t:{id}", "fields": {"name": "name", "industry": "branch"}}
TREE: dict[str, Any] = {"entity": "accounts", "key": "t:{id}", "fields": {"name": "name", "parent": {"column": "branch", "lookup": "name"}}}
Import = Callable[..., Report]


@pytest.fixture
def crm(make_crm: Any) -> Any:
    return make_crm(plugins=[crm_sales.plugin], roles=[CLERK, TEMP, READER])


@pytest.fixture
def bring(crm: Any, tmp_path: Path) -> Import:
    def bring(rows: str, mapping: dict[str, Any] = ACCOUNTS, actor: Actor = IMPORT, head: str = "id,name,branch", **options: Any) -> Report:
        path = tmp_path / "rows.csv"
        path.write_text(f"{head}\n{rows}", encoding="utf-8")
        return Importer(crm, actor, mapping_of(mapping)).run(path, **options)

    return bring


def accounts(crm: Any) -> dict[str, tuple[str, str | None]]:
    with crm.session(IMPORT, write=False) as s:
        return {a.external_ref: (a.name, a.industry) for a in s.query(Account).order_by(Account.name).all()}


def runs(crm: Any) -> list[tuple[str, ImportState]]:
    with crm.session(IMPORT, write=False) as s:
        return [(r.file, r.state) for r in s.query(ImportRun).order_by(ImportRun.created_at).all()]


def figures(found: Any) -> tuple[int, int, list[str]]:
    assert found.left == len(found.listed)
    return found.deleted, found.restored, sorted(x.error.code for x in found.listed)


def test_an_import_leaves_a_record_of_itself_and_one_that_changes_nothing_leaves_none(crm: Any, bring: Import) -> None:
    report = bring("1,One,food\n2,Two,toys\n3,,\n")
    with crm.session(IMPORT, write=False) as s:
        run = s.get(ImportRun, report.run)
    assert (run.file, run.entity, run.actor, run.state, run.position) == ("rows.csv", "account", "system:import", ImportState.DONE, 4)
    assert {n: run.report[n] for n in ("rows", "created", "failed")} == {"rows": 3, "created": 2, "failed": 1}
    assert bring("1,One,food\n2,Two,toys\n3,,\n").run == ""
    assert bring("9,Nine,\n", dry_run=True).run == ""
    assert bring("9,Nine,\n8,,\n", whole=True).run == ""
    assert len(runs(crm)) == 1


@pytest.mark.parametrize("batch", [2, 1000])
def test_what_an_import_created_goes_and_what_it_changed_is_as_before(crm: Any, bring: Import, batch: int) -> None:
    bring("1,One,food\n2,Two,toys\n")
    before = accounts(crm)
    report = bring("1,Uno,\n2,Two,tools\n3,Three,\n1,Eins,tea\n", batch=batch)
    assert accounts(crm) == {"t:1": ("Eins", "tea"), "t:2": ("Two", "tools"), "t:3": ("Three", None)}
    tried = undo(crm, IMPORT, report.run, dry_run=True)
    assert (figures(tried), tried.dry_run, len(accounts(crm))) == ((1, 2, []), True, 3)
    assert figures(undo(crm, IMPORT, report.run)) == (1, 2, [])
    assert accounts(crm) == before
    assert runs(crm) == [("rows.csv", ImportState.DONE), ("rows.csv", ImportState.UNDONE)]
    assert figures(undo(crm, IMPORT, report.run)) == (0, 0, [])
    assert accounts(crm) == before


def test_what_was_changed_since_is_left_and_listed_each_time(crm: Any, bring: Import) -> None:
    bring("1,One,food\n")
    report = bring("1,Uno,\n2,Two,\n3,Three,\n4,Four,\n")
    with crm.session(IMPORT) as s:
        found = {a.external_ref: a for a in s.query(Account).all()}
        s.update(Account, found["t:1"].id, {"industry": "toys"})
        s.update(Account, found["t:2"].id, {"industry": "toys"})
        s.delete(found["t:3"])
    assert figures(undo(crm, IMPORT, report.run)) == (1, 0, ["import_changed_since"] * 3)
    assert accounts(crm) == {"t:1": ("Uno", "toys"), "t:2": ("Two", "toys")}
    again = undo(crm, IMPORT, report.run)
    assert figures(again) == (0, 0, ["import_changed_since"] * 3)
    assert {x.record for x in again.listed} == {a.id for a in found.values() if a.external_ref != "t:4"}


def test_what_others_point_at_stays_and_the_rest_goes(crm: Any, bring: Import) -> None:
    report = bring("1,One,\n2,Two,\n3,Three,\n")
    with crm.session(IMPORT) as s:
        two = s.query(Account).where(Account.name == "Two").one()
        s.create(Account(name="Branch", parent=two.ref))
    assert figures(undo(crm, IMPORT, report.run)) == (2, 0, ["protected"])
    assert sorted(name for name, _ in accounts(crm).values()) == ["Branch", "Two"]


@pytest.mark.parametrize("batch", [1, 1000])
def test_records_that_point_at_each_other_go_together(crm: Any, bring: Import, batch: int) -> None:
    """Rows may name rows behind them, and missing ones are created first; whatever the order, all go."""
    tree = {**TREE, "fields": {**TREE["fields"], "parent": {"column": "branch", "lookup": "name", "missing": "create"}}}
    first = bring("1,C,B\n2,B,A\n3,A,\n4,X,Root\n", TREE, batch=batch)
    assert (first.created, first.failed) == (3, 1)
    second = bring("4,X,Root\n", tree, batch=batch)
    assert figures(undo(crm, IMPORT, second.run)) == (2, 0, [])
    assert figures(undo(crm, IMPORT, first.run)) == (3, 0, [])
    assert accounts(crm) == {}


def test_deals_with_their_customers_go_and_what_the_module_keeps_of_them_too(crm: Any, bring: Import) -> None:
    deals = {
        "entity": "sales.opportunity",
        "key": "d:{id}",
        "fields": {"name": "name", "amount": {"constant": "EUR 10"}, "stage": "stage", "account": {"record": "customer"}},
        "records": {
            "customer": {"entity": "account", "key": "c:{customer}", "fields": {"name": "customer"}},
            "person": {"entity": "contact", "key": "p:{name}", "fields": {"name": "name", "account": {"record": "customer"}}},
        },
    }
    head = "id,name,customer,stage"
    bring("1,One,Acme,new\n", deals, head=head)
    report = bring("1,One,Acme,proposal\n2,Two,Acme,new\n3,Three,Best,new\n", deals, head=head)
    assert (report.created, report.updated, report.failed) == (2, 1, 0)
    assert figures(undo(crm, IMPORT, report.run)) == (5, 1, [])
    with crm.session(IMPORT, write=False) as s:
        assert [(d.name, d.stage) for d in s.query(Opportunity).all()] == [("One", "new")]
        assert [(a.name, c.name) for a in s.query(Account).all() for c in s.query(Contact).all()] == [("Acme", "One")]


def test_nobody_takes_back_more_than_their_roles_allow(crm: Any, bring: Import) -> None:
    clerk, temp = Actor("7", roles={"clerk"}), Actor("8", roles={"temp"})
    mine = bring("1,One,\n", actor=clerk)
    theirs = bring("2,Two,\n1,Uno,\n", actor=temp)
    assert (mine.created, theirs.created, theirs.updated) == (1, 1, 1)
    with pytest.raises(NotFound):
        undo(crm, clerk, theirs.run)
    assert figures(undo(crm, temp, theirs.run)) == (0, 1, ["denied"])
    assert accounts(crm) == {"t:1": ("One", None), "t:2": ("Two", None)}
    reader = Actor("9", roles={"reader"})
    assert figures(undo(crm, reader, theirs.run)) == (0, 0, ["denied"])  # whoever may see the run may take it back, in their own rights
    assert figures(undo(crm, clerk, "last")) == (0, 0, ["import_changed_since"])  # changed, and changed back: still not as it was made
    with pytest.raises(NotFound):
        undo(crm, clerk, "last")


def test_an_import_that_was_undone_can_be_made_again(crm: Any, bring: Import) -> None:
    rows = "1,One,\n2,Two,\n"
    first = bring(rows)
    undo(crm, IMPORT, "last")
    with pytest.raises(Invalid) as raised:
        bring(rows, resume=first.run)
    assert raised.value.code == "import_not_broken_off"
    second = bring(rows)
    assert (second.created, second.resumed, len(accounts(crm))) == (2, 0, 2)
    assert second.run not in ("", first.run)


def test_an_import_within_a_hosts_session_can_be_taken_back_too(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,name,branch\n1,One,\n")
    with crm.session(IMPORT, request="from-the-host") as s:
        s.create(Account(name="Other"))
        report = Importer(crm, IMPORT, mapping_of(ACCOUNTS)).run(path, within=s)
        s.create(Account(name="Another"))
    assert figures(undo(crm, IMPORT, report.run)) == (1, 0, [])
    with crm.session(IMPORT, write=False) as s:
        assert sorted(a.name for a in s.query(Account).all()) == ["Another", "Other"]
