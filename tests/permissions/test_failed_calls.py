"""What is denied or fails leaves the database, its journal and the files as they were, but for the row of a denial, whoever tries [S6]."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from crm_core import Account, Actor, Contact, CRMError, Interaction, Money, Note, Ref, Role, Session
from crm_core.errors import WrongArgument
from crm_core.io import Importer, export, mapping_of
from tests.figures import figure
from tests.permissions.doors import DOORS, GHOST
from tests.permissions.doors_world import KINDS, SYSTEM, Deal, Kind, World, beside, deals_by_stage, opened
from tests.permissions.test_noninterference import WRITES
from tests.state import state_hash

Call = Callable[[Session, World, int], Any]


def _deal(w: World, **given: Any) -> Deal:
    return Deal(**{"name": "x", "account": w.of(Account)[0].ref, "amount": Money(1, "EUR"), **given})


def _import(s: Session, w: World, *, whole: bool) -> Any:
    path = w.folder / "rows.csv"
    mapping = mapping_of({"key": "y:{id}", "fields": {"name": "name", "amount": {"column": "amount", "currency": "EUR"}}})
    return Importer(s.crm, s.actor, mapping, entity="office.deal").run(path, whole=whole, within=s)


def _export(s: Session, w: World, name: str, fields: tuple[str, ...] = ()) -> Any:
    path = w.folder / name
    path.unlink(missing_ok=True)
    return export(s, s.query(Deal), path, fields=fields)


FAILING: dict[str, Call] = {
    "a wrong type": lambda s, w, n: s.update(Deal, w.of(Deal)[n].id, {"name": 5}),
    "an unknown field": lambda s, w, n: s.update(Deal, w.of(Deal)[n].id, {"nonsense": 5}),
    "a system field": lambda s, w, n: s.update(Deal, w.of(Deal)[n].id, {"version": 99}),
    "another tenant": lambda s, w, n: s.update(Deal, w.of(Deal)[n].id, {"tenant": "other"}),
    "a bad currency": lambda s, w, n: s.update(Deal, w.of(Deal)[n].id, {"amount": {"amount": "1", "currency": "XYZ"}}),
    "a ghost as account": lambda s, w, n: s.create(_deal(w, account=Ref(Account, GHOST))),
    "a taken code": lambda s, w, n: s.create(_deal(w, code="d:1")),
    "half a batch": lambda s, w, n: s.create_many([_deal(w), _deal(w, name=""), _deal(w)]),
    "half a batch taken": lambda s, w, n: s.create_many([_deal(w, code="z:1"), _deal(w, code="z:1")]),
    "a stale version": lambda s, w, n: s.update(Deal, w.of(Deal)[n].id, {"name": "x"}, version=99),
    "an empty name": lambda s, w, n: s.update_where(s.query(Deal), {"name": ""}),
    "upsert on no unique field": lambda s, w, n: s.upsert(_deal(w), on="name"),
    "delete what is referred to": lambda s, w, n: s.delete(w.records[w.of(Deal)[n].account.id]),
    "delete an interaction": lambda s, w, n: s.delete(w.of(Interaction)[n].ref),
    "change an interaction": lambda s, w, n: s.update(Interaction, w.of(Interaction)[n].id, {"subject": "new"}),
    "an account above itself": lambda s, w, n: s.update(Account, w.of(Account)[0].id, {"parent": w.of(Account)[4].id}),
    "restore what lives": lambda s, w, n: s.restore(Deal, w.of(Deal)[n].id),
    "share an action that is none": lambda s, w, n: s.share(w.of(Deal)[n], "user:u1", "create"),
    "share with nobody": lambda s, w, n: s.share(w.of(Deal)[n], "", "read"),
    "unlink a ghost": lambda s, w, n: s.unlink(beside, w.of(Account)[0], _deal(w)),
    "a role": lambda s, w, n: s.define_role(Role("own").allow("no.such", "read")),
    "remove a role": lambda s, w, n: s.remove_role("kind"),
    "rebuild": lambda s, w, n: s.rebuild(deals_by_stage),
    "a raw statement": lambda s, w, n: s.execute(text("DELETE FROM crm_account")),
    "an update": lambda s, w, n: s.execute(update(s.crm.tables.entities[Deal]).values(name="x")),
    "an insert in a cte": lambda s, w, n: s.execute(
        select(insert(s.crm.tables.entities[Note]).values(id=GHOST, body="x").returning(s.crm.tables.entities[Note].c.id).cte().c.id)
    ),
    "an unknown command": lambda s, w, n: s.perform(object()),
    "export of a hidden field": lambda s, w, n: _export(s, w, "deals.csv", ("salary", "nonsense")),
    "export to a strange file": lambda s, w, n: _export(s, w, "deals.exe"),
    "import of rows that fail": lambda s, w, n: _import(s, w, whole=True),
    "a contact of nowhere": lambda s, w, n: s.create(Contact(name="x", account=Ref(Account, GHOST))),
    "an event of nobody": lambda s, w, n: s.emit(_foreign(w)),
}


def _foreign(w: World) -> Any:
    from tests.laws.shop import DealClosed

    return DealClosed(record=w.of(Deal)[0].ref, amount=Money(1, "EUR"))


def _files(folder: Path) -> list[tuple[str, bytes]]:
    return sorted((p.name, p.read_bytes()) for p in folder.rglob("*") if p.is_file())


def _fails(s: Session, w: World, call: Call, n: int) -> bool:
    try:
        call(s, w, n)
    except WrongArgument:
        return True
    except CRMError as e:
        if e.status >= 500:
            raise
        return True
    return False


class _Undo(Exception):
    """Ends a session whose work is not to stay."""


@pytest.mark.parametrize("kind", [*KINDS, None], ids=lambda k: k.name if k else "system")
def test_no_call_that_fails_leaves_anything_behind(databases: Any, tmp_path: Path, kind: Kind | None) -> None:
    """[S6] Every way to ask and to write that fails for this user, in a session that then commits."""
    world = opened(databases, 1, tmp_path, *([kind.role(limit=kind.limit)] if kind else []))
    world.stand_as(kind or KINDS[-3])
    actor = kind.actor if kind else Actor.system("test", tenant="main")
    calls = {**DOORS, **WRITES, **FAILING}
    (tmp_path / "rows.csv").write_text("id,name,amount\n1,a,1\n2,,x\n")
    failing = []
    for name, call in calls.items():
        try:
            with world.crm.session(actor) as s:
                if _fails(s, world, call, 1):
                    failing.append(name)
                raise _Undo
        except _Undo:
            pass
    before = state_hash(world.crm), _files(tmp_path)
    for name in failing:
        with world.crm.session(actor) as s:
            assert _fails(s, world, calls[name], 1), name
    with world.crm.bound.begin() as host:
        for name in failing:
            with world.crm.session(actor, on=host) as s:
                assert _fails(s, world, calls[name], 1), name
    after = state_hash(world.crm), _files(tmp_path)
    told = world.crm.tables.system.journal
    with world.crm.bound.begin(write=False) as connection:
        denials = connection.execute(select(func.count()).where(told.c.kind == "core.denied.v1")).scalar_one()
    world.crm.close()
    figure(
        "S6", database=world.crm.bound.kind, cases=2 * len(failing), rows=len(world.records), seed=1, bar="0 differences",
        result=f"{kind.name if kind else 'system'}: {len(failing)} of {len(calls)} calls fail, in both kinds of transaction; 0 differences",
    )  # fmt: skip
    assert after == before
    assert len(failing) >= 20
    assert denials or kind is None, "somebody is denied something"


def test_the_hash_sees_one_changed_value(databases: Any, tmp_path: Path) -> None:
    world = opened(databases, 1, tmp_path)
    before = state_hash(world.crm)
    with world.crm.session(SYSTEM) as s:
        s.update(Deal, world.of(Deal)[0].id, {"salary": 1})
    assert state_hash(world.crm) != before
    world.crm.close()
