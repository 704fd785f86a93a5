"""Law 8: what a rule asks about a batch is read at once, so that a batch costs as many statements as one record does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from crm_core import Account, Actor, Contact, CRMError, Plugin, Role, Session, before_write, owner
from crm_core.hooks.core_specs import Change, WriteCtx
from crm_core.rules import F, related

SYSTEM = Actor.system("test", tenant="main")
ANN = Actor("ann", roles={"rep"})
MINE = related("account", owner | (F("industry") == "tea"))
REP = (
    Role("rep")
    .allow(Account, "read")
    .allow(Contact, "read", "create", "update", "delete", where=MINE)
    .allow(Contact, "assign", where=related("account", owner))
)
MakeCRM = Callable[..., Any]


def touching() -> Plugin:
    """A plugin that changes every contact on its way, so that each is judged twice."""
    plugin = Plugin("acme", version="1.0")

    @plugin.hook(before_write, on=Contact)
    def touch(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        for change in changes:
            change.record.title = f"{ctx.op}d"  # type: ignore[attr-defined]  # on=Contact
        return changes

    return plugin


@contextmanager
def statements(crm: Any) -> Iterator[list[str]]:
    """Collect the statements that SQLAlchemy sends."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(crm.bound.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(crm.bound.engine, "before_cursor_execute", note)


def accounts(crm: Any, count: int) -> list[Account]:
    """Create accounts whose contacts Ann may write, the one half for their owner and the other for their industry."""
    with crm.session(SYSTEM) as s:
        made: list[Account] = s.create_many(
            [Account(name=f"{n}", owner="ann" if n % 2 else "bob", industry=None if n % 2 else "tea") for n in range(count)]
        ).ok
        return made


def contacts(s: Session, of: list[Account]) -> list[Contact]:
    return s.create_many([Contact(name=a.name, account=a.ref) for a in of]).ok


def created(crm: Any, of: list[Account]) -> None:
    with crm.session(ANN) as s:
        assert len(contacts(s, of)) == len(of)


def updated(crm: Any, of: list[Account]) -> None:
    with crm.session(ANN) as s:
        assert s.update_where(s.query(Contact).where(Contact.account.in_([a.id for a in of])), {"owner": "ann"}) == len(of)


@pytest.mark.parametrize("plugins", [(), (touching(),)], ids=["plain", "hooked"])
@pytest.mark.parametrize("work", [created, updated], ids=lambda w: w.__name__)
def test_a_batch_under_a_rule_that_follows_references_costs_no_more_statements_than_two_records(
    make_crm: MakeCRM, work: Callable[..., None], plugins: tuple[Plugin, ...]
) -> None:
    crm = make_crm(plugins=plugins, roles=[REP])
    few, many = accounts(crm, 2), accounts(crm, 100)
    if work is updated:
        created(crm, [*few, *many])
    with statements(crm) as for_few:
        work(crm, few)
    with statements(crm) as for_many:
        work(crm, many)
    assert len(for_many) == len(for_few)
    assert len(for_many) < 15


def test_a_batch_is_judged_as_its_records_would_be_alone(make_crm: MakeCRM) -> None:
    crm = make_crm(roles=[REP])
    mine = accounts(crm, 10)
    with crm.session(SYSTEM) as s:
        foreign = s.create_many([Account(name=f"x{n}", owner="bob") for n in range(10)]).ok
        gone = s.create(Account(name="gone", owner="ann"))
        s.delete(gone)
    mixed = [a for pair in zip(mine, foreign, strict=True) for a in pair] + [gone]

    def alone(account: Account) -> bool:
        try:
            with crm.session(ANN) as s:
                s.create(Contact(name="alone", account=account.ref))
                return True
        except CRMError:
            return False

    with crm.session(ANN) as s:
        together = s.create_many([Contact(name="c", account=a.ref) for a in mixed], on_error="collect")
    refused = {row for row, _ in together.failed}
    assert [row not in refused for row in range(len(mixed))] == [alone(a) for a in mixed]
    assert len(refused) == 11
