"""Plugins in a CRM, on both databases: what their hooks and actions can do, and what they cannot do to the laws."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest
from sqlalchemy import func, select

from crm_core import (
    Account,
    Actor,
    Contact,
    CRMError,
    Ctx,
    Denied,
    Email,
    Entity,
    Field,
    FilterHook,
    Invalid,
    NotFound,
    Plugin,
    PluginFailed,
    Ref,
    Refused,
    Role,
    Session,
    after_write,
    before_write,
    check_write,
    field,
    owner,
)
from crm_core.errors import LoopDetected
from crm_core.hooks.core_specs import Change, WriteCtx

SYSTEM = Actor.system("test", tenant="main")
REP = Role("rep").allow(Account, "read", "create", "update", where=owner).allow(Contact, "read", "create")
ANN = Actor("ann", roles={"rep"})


def vendor(name: str = "acme") -> Plugin:
    return Plugin(name, version="1.0")


def counts(crm: Any) -> tuple[int, int]:
    """How many accounts and journal rows there are, denials aside."""
    journal = crm.tables.system.journal
    with crm.session(SYSTEM, write=False) as s:
        written = select(func.count()).select_from(journal).where(journal.c.kind != "core.denied.v1")
        return s.query(Account).count(), s._unit.connection.execute(written).scalar() or 0


def test_a_filter_completes_records_before_they_are_written_once_a_batch(make_crm: Any) -> None:
    plugin, batches = vendor(), []

    @plugin.hook(before_write, on=Account)
    def tidy(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        batches.append((ctx.op, len(changes)))
        for change in changes:
            change.record.name = change.record.name.strip()  # type: ignore[attr-defined]  # on=Account
        return changes

    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        s.create_many([Account(name=f" {n} ") for n in range(50)])
        s.create(Contact(name=" Ann "))
        first = s.query(Account).where(Account.name == "7").one()
        s.update(Account, first.id, {"name": "  seven "})
    with crm.session(SYSTEM) as s:
        assert s.get(Account, first.id).name == "seven"
        assert s.query(Contact).one().name == " Ann "
    assert batches == [("create", 50), ("update", 1)]


def spoil(name: str, account: Any) -> None:
    setattr(account, name, "x")


DAMAGES: dict[str, Callable[[Any], object]] = {
    "a wrong type": lambda account: setattr(account, "name", 5),
    "a name too long": lambda account: setattr(account, "name", "x" * 300),
    "a list of something else": lambda account: setattr(account, "emails", ["nobody"]),
    "the same, in place": lambda account: account.emails.append("nobody"),
    "two primaries, in place": lambda account: account.emails.extend([Email("a@x.de", primary=True), Email("b@x.de", primary=True)]),
    "an owner out of sight": lambda account: setattr(account, "owner", "bob"),
    **{f"another {name}": partial(spoil, name) for name in ("id", "tenant", "version", "created_by")},
    "a deletion": lambda account: setattr(account, "deleted_at", account.created_at),
    "a missing value": lambda account: delattr(account, "name"),
}


@pytest.mark.parametrize("spec", [before_write, check_write], ids=lambda h: h.name)
def test_a_hook_cannot_write_what_its_actor_could_not(make_crm: Any, spec: Any) -> None:
    plugin, damage = vendor(), ""

    @plugin.hook(spec, on=Account)
    def damages(ctx: WriteCtx, changes: list[Change]) -> Any:
        for change in changes:
            DAMAGES[damage](change.record)
        return changes if spec is before_write else None

    crm = make_crm(plugins=[plugin], roles=[REP])
    written = []
    for damage in DAMAGES:
        with contextlib.suppress(CRMError), crm.session(ANN) as s:
            s.create(Account(name="Acme"))
            written.append(damage)
    assert written == []
    assert counts(crm) == (0, 0)


def test_a_filter_that_mixes_up_a_batch_changes_nothing(make_crm: Any) -> None:
    plugin = vendor()

    @plugin.hook(before_write)
    def shuffles(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        return changes[::-1]

    crm = make_crm(plugins=[plugin])
    with pytest.raises(CRMError), crm.session(SYSTEM) as s:
        s.create_many([Account(name="a"), Account(name="b")])
    assert counts(crm) == (0, 0)


def test_all_refusals_of_a_write_come_together_and_nothing_is_written(make_crm: Any) -> None:
    one, two = vendor("one"), vendor("two")

    @one.hook(check_write, on=Account)
    def no_a(ctx: WriteCtx, changes: list[Change]) -> None:
        for change in changes:
            if change.record.name.startswith("a"):  # type: ignore[attr-defined]  # on=Account
                ctx.refuse(change.record, "one.no_a", field="name")

    @two.hook(check_write, on=Account)
    def short(ctx: WriteCtx, changes: list[Change]) -> None:
        for change in changes:
            if len(change.record.name) > 3:  # type: ignore[attr-defined]  # on=Account
                ctx.refuse(change, "two.too_long", field="name", most=3)

    crm = make_crm(plugins=[one, two])
    with pytest.raises(Refused) as caught, crm.session(SYSTEM) as s:
        s.create_many([Account(name="b"), Account(name="anna"), Account(name="bert")])
    assert {(d.row, d.code, d.entity, d.field) for d in caught.value.details} == {
        (1, "one.no_a", "account", "name"),
        (1, "two.too_long", "account", "name"),
        (2, "two.too_long", "account", "name"),
    }
    assert counts(crm) == (0, 0)
    with crm.session(SYSTEM) as s:
        result = s.create_many([Account(name="b"), Account(name="anna"), Account(name="bert")], on_error="collect")
        assert [a.name for a in result.ok] == ["b"]
        assert [row for row, _ in result.failed] == [1, 2]
    assert counts(crm)[0] == 1


@pytest.mark.parametrize("spec", [before_write, check_write, after_write], ids=lambda h: h.name)
def test_a_plugin_that_fails_in_a_write_is_named_and_the_call_undone_but_not_the_session(make_crm: Any, spec: Any) -> None:
    plugin = vendor("acme.broken")

    @plugin.hook(spec)
    def fails(ctx: WriteCtx, changes: list[Change]) -> Any:
        if changes[0].record.name == "bad":  # type: ignore[attr-defined]  # accounts alone are written
            raise ZeroDivisionError
        return changes if spec is before_write else None

    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        s.create(Account(name="before"))
        with pytest.raises(PluginFailed, match=r"acme\.broken") as caught:
            s.create(Account(name="bad"))
        assert caught.value.params["hook"] == spec.name
        s.create(Account(name="after"))
    with crm.session(SYSTEM) as s:
        assert [a.name for a in s.query(Account).order_by(Account.name).all()] == ["after", "before"]


def test_a_hook_that_writes_what_triggers_it_is_cut_and_nothing_stays(make_crm: Any) -> None:
    plugin = vendor()

    @plugin.hook(after_write, on=Account)
    def breeds(ctx: WriteCtx, changes: list[Change]) -> None:
        ctx.session.create(Account(name="child"))

    crm = make_crm(plugins=[plugin])
    with pytest.raises(LoopDetected, match=r"acme\.breeds \(after_write\) → acme\.breeds"), crm.session(SYSTEM) as s:
        s.create(Account(name="parent"))
    assert counts(crm) == (0, 0)


def test_what_a_hook_writes_is_in_the_same_transaction_and_journalled_as_the_plugin_s(make_crm: Any) -> None:
    plugin = vendor()

    @plugin.hook(after_write, on=Account)
    def greets(ctx: WriteCtx, changes: list[Change]) -> None:
        ctx.session.create_many([Contact(name="Reception", account=Ref(Account, change.record.id)) for change in changes])

    crm = make_crm(plugins=[plugin])
    with pytest.raises(KeyError), crm.session(SYSTEM) as s:
        s.create(Account(name="lost"))
        raise KeyError
    assert counts(crm) == (0, 0)
    with crm.session(SYSTEM) as s:
        s.create(Account(name="Acme"))
        journal = crm.tables.system.journal
        rows = s._unit.connection.execute(select(journal.c.entity, journal.c.plugin).order_by(journal.c.id)).all()
    assert [(entity, plugin or "") for entity, plugin in rows] == [("account", ""), ("contact", "acme")]


def peeking(*grants: str) -> tuple[Plugin, list[str]]:
    """A plugin that looks for an account of the same name, whoever owns it."""
    plugin = vendor()
    seen: list[str] = []
    plugin.grants(*grants)

    @plugin.hook(check_write, on=Account)
    def twin(ctx: WriteCtx, changes: list[Change]) -> None:
        with ctx.elevated("find twins") as more:
            for change in changes:
                seen.extend(a.id for a in more.query(Account).where(Account.name == change.record.name).all())  # type: ignore[attr-defined]  # on=Account

    return plugin, seen


def test_elevated_code_sees_what_its_plugin_was_granted_and_the_journal_says_why(make_crm: Any) -> None:
    plugin, seen = peeking("account:read")
    crm = make_crm(plugins=[plugin], roles=[REP])
    with crm.session(SYSTEM) as s:
        hidden = s.create(Account(name="Acme", owner="bob"))
    with crm.session(ANN) as s:
        assert s.find(Account, hidden.id) is None
        s.create(Account(name="Acme"))
        assert s.find(Account, hidden.id) is None
        journal = crm.tables.system.journal
        rows = s._unit.connection.execute(
            select(journal.c.plugin, journal.c.reason, journal.c.on_behalf_of).where(journal.c.kind == "core.elevated.v1")
        ).all()
    assert seen == [hidden.id]
    assert ("acme", "find twins", "ann") in [tuple(row) for row in rows]


def test_elevated_code_sees_nothing_its_plugin_was_not_granted(make_crm: Any) -> None:
    plugin, seen = peeking()
    crm = make_crm(plugins=[plugin], roles=[REP])
    with crm.session(SYSTEM) as s:
        s.create(Account(name="Acme", owner="bob"))
    seen.clear()
    with crm.session(ANN) as s, contextlib.suppress(Denied):
        s.create(Account(name="Acme"))
    assert seen == []


def test_two_crms_with_other_plugins_live_in_one_process(make_crm: Any) -> None:
    plugin = vendor()

    @plugin.hook(check_write)
    def refuses(ctx: WriteCtx, changes: list[Change]) -> None:
        ctx.refuse(changes[0], "acme.no")

    strict, free = make_crm(plugins=[plugin]), make_crm()
    with free.session(SYSTEM) as s:
        s.create(Account(name="Acme"))
        with pytest.raises(Refused), strict.session(SYSTEM) as t:
            t.create(Account(name="Acme"))
    assert (counts(strict)[0], counts(free)[0]) == (0, 1)


@attrs.define
class Rename:
    account: Ref[Account]
    name: str


louder: FilterHook[Ctx, list[str]] = FilterHook("acme.louder")


def renaming() -> Plugin:
    """A plugin with an action, a service, and a hook of its own that both use."""
    plugin = vendor()
    plugin.hooks(louder)
    plugin.catalogue("en", {"acme.rename_label": "Rename"})

    @plugin.action(on=Account, permission="acme.rename", label="acme.rename_label")
    def rename(s: Session, cmd: Rename) -> Account:
        return s.update(Account, cmd.account, {"name": louder(Ctx(s), [cmd.name])[0]})

    return plugin


def test_an_action_is_performed_described_and_listed_in_a_session(make_crm: Any) -> None:
    loud = Plugin("loud", version="1", requires={"acme": ">=1"})

    @loud.hook(louder)
    def shout(ctx: Ctx, names: list[str]) -> list[str]:
        return [name.upper() for name in names]

    boss = Role("boss").allow(Account, "read", "update", "acme.rename")
    crm = make_crm(plugins=[renaming(), loud], roles=[REP, boss])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme", owner="ann"))
    with crm.session(Actor("eve", roles={"boss"})) as s:
        assert s.perform(Rename(account.ref, "new")).name == "NEW"
        (info,) = s.actions(account)
        assert (info.name, info.label, info.allowed, info.why_not) == ("acme.rename", "Rename", True, None)
    with crm.session(ANN) as s:
        (info,) = s.actions(account)
        assert (info.allowed, info.why_not) == (False, "You may not do this: acme.rename account.")
        with pytest.raises(Denied):
            s.perform(Rename(account.ref, "other"))
    with pytest.raises(NotFound), crm.session(Actor("bob", roles={"rep"})) as s:
        s.perform(Rename(account.ref, "other"))
    with pytest.raises(Invalid), crm.session(SYSTEM) as s:
        s.perform(Rename(account.ref, 5))  # type: ignore[arg-type]  # wrong on purpose
    with crm.session(SYSTEM) as s:
        assert s.get(Account, account.id).name == "NEW"


def test_a_list_that_a_filter_changes_in_place_is_written_on_create_and_update(make_crm: Any) -> None:
    plugin = vendor()

    @plugin.hook(before_write, on=Account)
    def adds(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        for change in changes:
            change.record.emails.append(Email(f"{ctx.op}@x.de"))  # type: ignore[attr-defined]  # on=Account
        return changes

    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
        s.update(Account, account.id, {"name": "Acme GmbH"})
    with crm.session(SYSTEM) as s:
        assert [e.address for e in s.get(Account, account.id).emails] == ["create@x.de", "update@x.de"]
        journal = crm.tables.system.journal
        payload = s._unit.connection.execute(select(journal.c.personal).where(journal.c.kind == "account.updated.v1")).scalar()
    assert "create@x.de" in str(payload)
    assert "update@x.de" in str(payload)


class Form(Entity):
    data: Field[dict[str, Any]] = field(factory=dict)
    title: Field[str] = field(default="")


def test_json_that_a_filter_changes_deep_inside_is_written_and_the_journal_has_both(make_crm: Any) -> None:
    plugin = vendor()
    plugin.entities(Form)

    @plugin.hook(before_write, on=Form)
    def counts_up(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        for change in changes:
            change.record.data["a"]["b"] += 1  # type: ignore[attr-defined]  # on=Form
        return changes

    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        form = s.create(Form(data={"a": {"b": 1}}))
        s.update(Form, form.id, {"title": "new"})
    with crm.session(SYSTEM) as s:
        assert s.get(Form, form.id).data == {"a": {"b": 3}}
        journal = crm.tables.system.journal
        payload = s._unit.connection.execute(select(journal.c.payload).where(journal.c.kind == "acme.form.updated.v1")).scalar()
    assert payload["changes"]["data"] == [{"a": {"b": 2}}, {"a": {"b": 3}}]
