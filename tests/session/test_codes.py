"""Errors that are seldom met, by their codes: of declarations, statements, plugins that change what is not theirs, and old journals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from crm_core import (
    CRM,
    Account,
    Actor,
    CollectHook,
    Contact,
    CRMError,
    Ctx,
    CustomField,
    CustomKind,
    Entity,
    Event,
    Extension,
    Field,
    LoadError,
    Plugin,
    Ref,
    Role,
    Runtime,
    after_write,
    before_write,
)
from crm_core.audit.checkpoints import read_lines
from crm_core.entities.columns import ListContains
from crm_core.entities.meta import extension_fields, spec
from crm_core.events.event import EventCodec
from crm_core.events.journal import Entry
from crm_core.hooks.parts import Link
from crm_core.hooks.watchdog import Watchdog
from crm_core.io import export
from crm_core.io.plan import find_entity
from crm_core.storage.tables import Tables

ADMIN = Actor.system("setup", tenant="main")
GUEST = Actor("7", roles={"guest"})


class Stray(Entity):
    """An entity of no plugin."""

    name: Field[str]


class Pointing(Entity):
    """It points at what no plugin brings."""

    stray: Field[Ref[Stray]]


class Loose(Extension):
    """Nobody said what it extends."""

    size: Field[int]


class Demanding(Extension):
    """Records that are there have no size."""

    size: Field[int]


class Told(Event[Account], name="odd.told", version=2):
    """Something was told."""

    points: int


class ToldAgain(Event[Account], name="odd.told", version=1):
    """By the same name."""


Plugin("odd_stray", version="1.0.0").entities(Stray)
odd = Plugin("odd", version="1.0.0")
odd.events(Told)


@odd.hook(before_write, on=Account)
def meddle(ctx: Any, changes: Any) -> Any:
    """Do what the account's name asks for."""
    for change in changes:
        match change.record.name:
            case "system":
                object.__setattr__(change.record, "tenant", "other")
            case "meanwhile" if ctx.op == "update":
                ctx.session._unit.connection.execute(text("UPDATE crm_account SET version = version + 1"))
            case "session":
                with ctx.session.crm.session(ADMIN):
                    pass
    return changes


@odd.hook(after_write, on=Account)
def late(ctx: Any, changes: Any) -> None:
    """Change a record when nothing may change any more."""
    for change in changes:
        if change.record.name == "late":
            change.record.website = "https://late.example"


@pytest.fixture(scope="module")
def crm() -> Iterator[CRM]:
    roles = [Role("guest").allow(Account, "read", fields={"website": "masked"})]
    crm = CRM("sqlite://", plugins=[odd], roles=roles, runtime=Runtime.seeded(1), quarantine_after=None)
    crm.migrate()
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "region")
        s.create(Account(name="Acme", custom={"region": "EU"}))
    yield crm
    crm.close()


def code_of(work: Callable[[], Any]) -> str:
    with pytest.raises(CRMError) as refused:
        work()
    return refused.value.details[0].code if refused.value.details else refused.value.code


def extended() -> None:
    Plugin("odder", version="1.0.0").extend(Account)(Demanding)
    extension_fields(Demanding)


DECLARED: Mapping[str, Callable[[], Any]] = {
    "not_an_entity": lambda: spec(int),
    "extension_unbound": lambda: extension_fields(Loose),
    "extension_needs_default": extended,
    "event_taken": lambda: EventCodec([Account], [Told, ToldAgain]),
    "event_bad_upcast": lambda: Told.upcast(2)(dict),
    "link_target_missing": lambda: Tables([Account], {}, [Link("odder", Account, Stray, True)]),
    "bad_stuck_after": lambda: Watchdog([], 0),
    "import_unknown_entity": lambda: find_entity([Account], "accountancies"),
}


@pytest.mark.parametrize("code", DECLARED)
def test_a_declaration_that_cannot_be_is_refused_by_its_code(code: str) -> None:
    assert code_of(DECLARED[code]) == code


def test_a_reference_to_what_no_plugin_brings_is_named() -> None:
    plugin = Plugin("odd_pointing", version="1.0.0")
    plugin.entities(Pointing)
    with pytest.raises(LoadError) as refused:
        CRM("sqlite://", plugins=[plugin])
    assert refused.value.code == "ref_target_missing"


def read_again(s: Any) -> Contact:
    made = s.create(Contact(name="c", account=s.query(Account).first().ref))
    return s.get(Contact, made.id)  # type: ignore[no-any-return]  # of Any


ASKED: Mapping[str, Callable[[Any, Path], Any]] = {
    "mixed_entities": lambda s, _: s.create_many([Account(name="a"), Contact(name="b")]),
    "not_a_reference": lambda s, _: s.query(Contact).preload(Contact.name),
    "not_a_select": lambda s, _: s.execute(text("SELECT 1")),
    "statement_options": lambda s, _: s.execute(select(Account.name).execution_options(autocommit=True)),
    "not_preloaded": lambda s, _: s.related(
        s.get(Contact, s.create(Contact(name="c", account=s.query(Account).first().ref)).id), Contact.account
    ),
    "unknown_expand": lambda s, _: s.crm.to_json(s.query(Account).first(), expand=["nothing"]),
    "export_bad_name": lambda s, folder: export(s, s.query(Account), folder / "accounts.doc"),
    "custom_has_data": lambda s, _: s.custom_fields.delete(Account, "region"),
    "not_a_list": lambda s, _: s.execute(select(Account.id).where(ListContains(Account.name, Account.id, "x"))),
    "statement_not_understood": lambda s, _: s.execute(select(Account.id).order_by("nothing")),
    "system_field_changed": lambda s, _: s.create(Account(name="system")),
    "veto_changed_record": lambda s, _: s.create(Account(name="late")),
    "changed_meanwhile": lambda s, _: s.update(Account, s.query(Account).first().id, {"name": "meanwhile"}),
}


@pytest.mark.parametrize("code", ASKED)
def test_what_a_session_is_asked_in_vain_is_refused_by_its_code(crm: CRM, code: str, tmp_path: Path) -> None:
    with crm.session(ADMIN) as s, s.savepoint():
        assert code_of(lambda: ASKED[code](s, tmp_path)) == code


def test_a_session_within_a_hook_is_refused_and_the_hook_named(crm: CRM) -> None:
    with crm.session(ADMIN) as s, pytest.raises(CRMError) as failed:
        s.create(Account(name="session"))
    cause = failed.value if failed.value.code == "session_inside_plugin" else failed.value.__cause__
    assert isinstance(cause, CRMError)
    assert (cause.code, cause.params["plugin"]) == ("session_inside_plugin", "odd")


def test_an_entity_has_a_hundred_custom_fields_and_no_more(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.create_many([CustomField(entity="contact", name=f"f{n}", kind=CustomKind.TEXT) for n in range(100)])
        assert code_of(lambda: s.custom_fields.add(Contact, "one_more")) == "custom_too_many"


def test_a_hook_that_no_plugin_declares_is_not_called(crm: CRM) -> None:
    stranger = CollectHook[Ctx, list[int], int]("odder.asked")
    with crm.session(ADMIN) as s:
        assert code_of(lambda: list(stranger(Ctx(s), [1]))) == "hook_not_loaded"


def test_a_plugin_in_quarantine_is_asked_for_nothing() -> None:
    shaky = Plugin("shaky", version="1.0.0")

    @shaky.hook(before_write, on=Account)
    def fail(ctx: Any, changes: Any) -> Any:
        """Fail."""
        raise ZeroDivisionError

    crm = CRM("sqlite://", plugins=[shaky], quarantine_after=1)
    crm.migrate()
    with pytest.raises(CRMError), crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
    assert code_of(lambda: crm.tenants.check("main", plugin="shaky")) == "plugin_resting"
    crm.close()


def test_a_file_of_checkpoints_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert code_of(lambda: list(read_lines(tmp_path))) == "audit_sink_unreadable"


def entry(name: str, version: int, data: Any) -> Entry:
    record = "01890000-0000-7000-8000-000000000000"
    return Entry(
        position=1, id=1, tenant="main", at=Runtime.seeded(1).clock.now(), actor="7", on_behalf_of=None, plugin="odd", reason=None,
        request=None, entity="account", record=record, version=1, kind=f"{name}.v{version}", format=1, payload={"id": record, "data": data},
    )  # fmt: skip


OLD: Mapping[str, Entry] = {
    "event_missing": entry("odd.gone", 1, {}),
    "event_newer": entry("odd.told", 3, {"points": 1}),
    "event_upcast_missing": entry("odd.told", 1, {}),
    "event_bad_payload": entry("odd.told", 2, {"points": "many"}),
}


@pytest.mark.parametrize("code", OLD)
def test_a_journal_that_does_not_fit_the_code_is_told_by_a_code(crm: CRM, code: str) -> None:
    assert code_of(lambda: crm.events.decode(OLD[code])) == code
