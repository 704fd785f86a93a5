"""A CRM with a plugin that listens, vetoes and works by the clock, and two places for secrets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from crm_core import CRM, Account, Actor, Created, Entity, Field, FixedClock, Plugin, Ref, Secret, Session, WriteCtx, check_write

START = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


@attrs.frozen
class Door:
    """A place to send to.

    Attributes:
        url: where.
        token: what opens it.
    """

    url: str = ""
    token: Secret | None = None


@attrs.frozen
class Settings:
    """Settings of the module.

    Attributes:
        token: of the service.
        doors: other services.
    """

    token: Secret | None = None
    doors: list[Door] = attrs.Factory(list)


class Place(Entity):
    name: Field[str]


@attrs.frozen
class World:
    """A CRM with a plugin that listens, vetoes and works by the clock, and what it did."""

    crm: CRM
    clock: FixedClock
    heard: list[str]

    def account(self, tenant: str, name: str = "A") -> Account:
        """Create an account."""
        with self.crm.session(system(tenant)) as s:
            return s.create(Account(name=name))

    def later(self, **delta: float) -> None:
        """Let time pass, and run what is due."""
        self.clock.advance(timedelta(**delta))
        self.crm.run_pending()


def system(tenant: str) -> Actor:
    """Return an actor with all rights."""
    return Actor.system("test", tenant=tenant)


def maps(heard: list[str]) -> Plugin:
    """Return a plugin with one of each kind of part."""
    plugin = Plugin("maps", version="1.0", settings=Settings)
    plugin.entities(Place)
    plugin.grants("account:read")

    @plugin.on(Created[Account])
    def hear(s: Session, event: Created[Account]) -> None:
        heard.append(f"{s.actor.tenant} {event.new['name']}")

    @plugin.hook(check_write, on=Account)
    def refuse(ctx: WriteCtx, changes: list[Any]) -> None:
        for change in changes:
            if change.record.name == "Atlantis":
                ctx.refuse(change, "invalid")

    @plugin.job(every="0 * * * *", per_tenant=True)
    def hourly(s: Session) -> None:
        heard.append(f"{s.actor.tenant} {s.job.slot:%H}h")

    @plugin.action(on=Account, permission="maps.find", label="Find")
    def find(s: Session, command: Find) -> None:
        heard.append("found")

    plugin.service(Atlas)

    @plugin.panel(Account, label="Map")
    def panel(s: Session, account: Account) -> dict[str, Any]:
        return {"place": account.name}

    return plugin


class Atlas:
    """A service."""

    def __init__(self, session: Session) -> None:
        self.session = session


@attrs.frozen
class Find:
    """Find an account on the map."""

    account: Ref[Account]


Open = Callable[..., World]
