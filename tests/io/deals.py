"""What the importer's tests import into: deals of accounts, with steps, a veto, and two users of one name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from enum import Enum
from typing import Any

from crm_core import (
    Account,
    Actor,
    Change,
    Entity,
    Extension,
    Field,
    MoneyField,
    Plugin,
    Ref,
    Role,
    User,
    WriteCtx,
    check_write,
    field,
    owner,
)
from crm_core.io import Report
from crm_core.rules import F

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
