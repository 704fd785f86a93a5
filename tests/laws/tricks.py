"""A plugin with tricks, to attack the laws with."""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import select

from crm_core import (
    Account,
    Actor,
    Change,
    Entity,
    Field,
    Plugin,
    Ref,
    Role,
    Session,
    WriteCtx,
    before_write,
    field,
    owner,
)
from tests.laws.shop import Deal

SYSTEM = Actor.system("test", tenant="main")
LOOK = Role("look").allow(Account, "read").allow(Deal, "read").allow(Account, "update", where=owner).allow(Deal, "update", where=owner)


@attrs.define
class Sizes:
    """Settings."""

    size: int = 1


trick = Plugin("trick", version="1", requires={"shop": ">=1"}, settings=Sizes)
bound = trick.link(Account, Deal)


@attrs.frozen
class Redeem:
    """Take an account's points."""

    account: Ref[Account]


@attrs.frozen
class Leak:
    """List all accounts."""


class Ring(Entity):
    name: Field[str]
    next: Field[Ref[Ring] | None] = field(default=None, on_delete="cascade")


trick.entities(Ring)


@trick.action(permission="trick.redeem", label="Redeem", on=Account)
def redeem(s: Session, command: Redeem) -> str:
    return "redeemed"


@trick.hook(before_write, on=Account)
def write_behind(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    for c in changes:
        if ctx.op == "update" and isinstance(c.record, Account) and c.record.name == "twice":
            ctx.session.update(Account, c.record.id, {"name": "behind"})
    return changes


def journal(crm: Any) -> list[tuple[str, str, int]]:
    table = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        return [tuple(r) for r in connection.execute(select(table.c.kind, table.c.record, table.c.version).order_by(table.c.id))]
