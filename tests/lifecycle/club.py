"""A plugin with one of each part, in versions, one that requires it, and what they did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import attrs

from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    Created,
    Email,
    Entity,
    Event,
    Extension,
    Field,
    FixedClock,
    ListField,
    OptionalMoneyField,
    Plugin,
    Ref,
    Role,
    Session,
    WriteCtx,
    check_write,
    field,
)
from crm_core.inbound import Request, Response
from crm_core.rules import F


class Member(Entity):
    account: Field[Ref[Account]]
    number: Field[str] = field(unique=True)
    mails: ListField[Email] = field(factory=list)


class Guest(Entity):
    contact: Field[Ref[Contact]]
    note: Field[str] = field(default="", pii=True)


class Perks(Extension):
    points: Field[int] = field(default=0)
    rate: Field[Decimal] = field(default=Decimal("1.5"))
    spent: OptionalMoneyField = field(default=None)
    champion: Field[Ref[Member] | None] = field(default=None)


class Visit(Entity):
    member: Field[Ref[Member] | None] = field(default=None)


@attrs.frozen
class Settings:
    """Settings of the module.

    Attributes:
        greeting: what is said.
    """

    greeting: str = "hello"


@attrs.frozen
class Award:
    """Give an account a point."""

    account: Ref[Account]


class Cards:
    """A service."""

    def __init__(self, session: Session) -> None:
        self.session = session


admin = Role("club.admin").allow(Member, "read", "create", "update", "delete").allow(Account, "read", "create", "update", "club.award")
ours = Role("club.ours").allow(Account, "read", "create", "update").restrict(Account, "read", where=F("club_points") < 100)


def club(done: list[str], version: str = "1.0") -> Plugin:
    """Return the plugin; what its functions do is told to *done*."""
    plugin = Plugin("club", version=version, settings=Settings, label="Club")
    plugin.entities(Member, Guest)
    plugin.extend(Account)(Perks)
    plugin.grants("account:read,update")
    plugin.service(Cards)
    plugin.role(admin)
    plugin.role(ours)

    @plugin.on(Created[Account])
    def hear(s: Session, event: Event[Account]) -> None:
        done.append(f"heard {s.get(Account, event.record).name}")

    @plugin.hook(check_write, on=Account)
    def no_debts(ctx: WriteCtx, changes: list[Any]) -> None:
        for change in changes:
            if change.record.name == "Debtor":
                ctx.refuse(change, "invalid")

    @plugin.job(every="0 * * * *")
    def hourly(s: Session) -> None:
        done.append("hourly")

    @plugin.action(on=Account, permission="club.award", label="Award")
    def award(s: Session, command: Award) -> None:
        done.append("awarded")

    @plugin.panel(Account, label="Club")
    def panel(s: Session, account: Account) -> dict[str, Any]:
        return {"name": account.name}

    @plugin.route("POST", "/visits", check=lambda session, request: True)
    def visited(s: Session, request: Request) -> Response:
        done.append("visited")
        return Response(204)

    @plugin.lifespan
    def phone(running: Any) -> Iterator[None]:
        done.append("phone on")
        yield
        done.append("phone off")

    if version != "1.0":

        @plugin.data_migration(version)
        def give(s: Session) -> None:
            done.append(f"migrated to {version}")

    return plugin


def visits() -> Plugin:
    """Return a plugin that requires it."""
    plugin = Plugin("visits", version="1.0", requires={"club": ">=1"})
    plugin.entities(Visit)
    return plugin


def system(tenant: str = "main") -> Actor:
    """Return an actor with all rights."""
    return Actor.system("test", tenant=tenant)


def kinds(crm: CRM, tenant: str = "main") -> list[tuple[str, dict[str, Any]]]:
    """Return what the journal of a tenant says of plugins."""
    table = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        rows = connection.execute(table.select().where(table.c.tenant == tenant).order_by(table.c.id)).all()
    said = [(row.kind.split(".")[1], {k: v for k, v in row.payload.items() if k != "id"}) for row in rows]
    return [(kind, told) for kind, told in said if kind.startswith("plugin_")]


def later(clock: FixedClock, **delta: float) -> None:
    """Let time pass."""
    clock.advance(timedelta(**delta))
