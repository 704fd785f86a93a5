"""[R12] Hooks that give back something else than they got, or change what is not theirs: the journal and the rows tell the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import Account, Actor, Contact, CRMError, Plugin, after_write, before_write, check_write
from crm_core.hooks.core_specs import Change, WriteCtx
from crm_core.testing.state import state_hash
from tests.figures import figure

SYSTEM = Actor.system("test", tenant="main")
Cheat = Callable[[WriteCtx, list[Any]], Any]


def each(cheat: Callable[[Any], object]) -> Cheat:
    """Do something to each change, and give the list back as a filter does."""

    def hook(ctx: WriteCtx, changes: list[Any]) -> Any:
        for change in changes:
            if change.old is not None:
                cheat(change)
        return changes

    return hook


def silently(hook: Cheat) -> Cheat:
    """Return None, as vetoes do."""

    def quiet(ctx: WriteCtx, changes: list[Any]) -> None:
        if ctx.op == "update":
            hook(ctx, changes)

    return quiet


def updates(hook: Cheat) -> Cheat:
    return lambda ctx, changes: hook(ctx, changes) if ctx.op == "update" else changes


def another(**parts: Any) -> Cheat:
    """Change the context."""

    def hook(ctx: WriteCtx, changes: list[Any]) -> Any:
        for name, value in parts.items():
            setattr(ctx, name, value)
        return changes

    return hook


def no_list(ctx: WriteCtx, changes: list[Any]) -> Any:
    changes.clear()


HARMLESS: dict[str, tuple[Any, Cheat]] = {
    "a forged past": (before_write, each(lambda c: setattr(c.old, "name", "FORGED"))),
    "a past version": (before_write, each(lambda c: setattr(c.old, "version", 99))),
    "a past of another record": (before_write, each(lambda c: setattr(c.old, "id", "zz"))),
    "a past that is the present": (before_write, each(lambda c: setattr(c, "old", c.record))),
    "no past": (before_write, each(lambda c: setattr(c, "old", None))),
    "fields that are none": (before_write, each(lambda c: setattr(c, "fields", frozenset()))),
    "fields that are not there": (before_write, each(lambda c: setattr(c, "fields", frozenset({"nonsense"})))),
    "fields of a number": (before_write, each(lambda c: setattr(c, "fields", 5))),
    "another operation": (before_write, another(op="delete")),
    "another entity": (before_write, another(entity=Contact)),
    "another session": (before_write, another(session=None)),
    "a veto that empties the list": (check_write, silently(no_list)),
    "a veto that forges the past": (check_write, silently(each(lambda c: setattr(c.old, "name", "FORGED")))),
    "a veto that hides what changes": (check_write, silently(each(lambda c: setattr(c, "fields", frozenset())))),
    "a look back that empties the list": (after_write, silently(no_list)),
}

REFUSED: dict[str, tuple[Any, Cheat]] = {
    "nothing in the list": (before_write, updates(lambda ctx, cs: [None] * len(cs))),
    "records in the list": (before_write, updates(lambda ctx, cs: [c.record for c in cs])),
    "no record": (before_write, each(lambda c: setattr(c, "record", None))),
    "a record of another entity": (before_write, each(lambda c: setattr(c, "record", Contact(name="c")))),
    "a record of its own": (before_write, updates(lambda ctx, cs: [Change(Account(name="o"), c.old, c.fields) for c in cs])),
    "another tenant": (before_write, each(lambda c: setattr(c.record, "tenant", "other"))),
    "a value taken out": (before_write, each(lambda c: delattr(c.record, "name"))),
    "an object for a text": (before_write, each(lambda c: setattr(c.record, "name", object()))),
    "a number for an owner": (before_write, each(lambda c: setattr(c.record, "owner", 5))),
    "a value that cannot be compared": (before_write, each(lambda c: setattr(c.record, "name", Unequal()))),
    "a veto that writes": (check_write, silently(each(lambda c: setattr(c.record, "name", "FORGED")))),
    "a veto that swaps the record": (check_write, silently(each(lambda c: setattr(c, "record", c.old)))),
    "a refusal without a code": (check_write, silently(lambda ctx, cs: ctx.refuse(cs[0], 5))),  # type: ignore[arg-type]  # the cheat
    "a look back that writes": (after_write, silently(each(lambda c: setattr(c.record, "name", "FORGED")))),
    "a look back that changes the id": (after_write, silently(each(lambda c: setattr(c.record, "id", "zz")))),
    "a look back that drops the record": (after_write, silently(each(lambda c: setattr(c, "record", None)))),
}


class Unequal:
    """Something that fails when it is compared."""

    __hash__ = None  # type: ignore[assignment]  # nobody needs it

    def __ne__(self, other: object) -> bool:
        raise ZeroDivisionError

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError


class Switch:
    """One plugin whose hooks do what the case at hand does: one CRM serves all cases."""

    def __init__(self) -> None:
        self.case: tuple[Any, Cheat] | None = None
        self.plugin = Plugin("rogue", version="1")
        for hook in (before_write, check_write, after_write):
            self.plugin.hook(hook, on=Account)(self.made(hook))

    def made(self, hook: Any) -> Cheat:
        def implementation(ctx: WriteCtx, changes: list[Any]) -> Any:
            if self.case is not None and self.case[0] is hook:
                return self.case[1](ctx, changes)
            return changes if hook is before_write else None

        implementation.__name__ = f"in_{hook.name}"
        return implementation


def last_change(crm: Any) -> tuple[Any, ...]:
    table = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        personal = connection.execute(select(table.c.personal).order_by(table.c.id.desc()).limit(1)).scalar_one()
    return tuple(personal["changes"]["name"])


def test_what_a_hook_does_to_its_copies_changes_nothing(make_crm: Any) -> None:
    switch = Switch()
    crm = make_crm(plugins=[switch.plugin], quarantine_after=None)
    with crm.session(SYSTEM) as s:
        id = s.create(Account(name="n0")).id
    for n, (name, case) in enumerate(HARMLESS.items()):
        switch.case = case
        with crm.session(SYSTEM) as s:
            done = s.update(Account, id, {"name": f"n{n + 1}"})
            assert (done.name, done.version) == (f"n{n + 1}", n + 2), name
        switch.case = None
        with crm.session(SYSTEM) as s:
            assert s.get(Account, id).name == f"n{n + 1}", name
        assert last_change(crm) == (f"n{n}", f"n{n + 1}"), name


def test_a_hook_that_gives_back_or_changes_what_is_not_its_to_change_fails_the_call_and_is_named(make_crm: Any) -> None:
    switch = Switch()
    crm = make_crm(plugins=[switch.plugin], quarantine_after=None)
    with crm.session(SYSTEM) as s:
        id = s.create(Account(name="n0")).id
    before = state_hash(crm)
    for name, case in REFUSED.items():
        switch.case = case
        with crm.session(SYSTEM) as s, pytest.raises(CRMError) as caught:
            s.update(Account, id, {"name": "n1"})
        if caught.value.code != "invalid":
            assert "rogue" in str(caught.value), name
        assert "FORGED" not in str(caught.value), name
        assert state_hash(crm) == before, name
    cases = len(HARMLESS) + len(REFUSED)
    figure("R12 hooks that cheat", database=crm.bound.kind, cases=cases, result=f"{cases} of {cases} without effect", bar="all")
