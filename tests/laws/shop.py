"""A small plugin that the laws are attacked with."""

from __future__ import annotations

from typing import Any

from crm_core import (
    Account,
    Entity,
    Event,
    Field,
    Money,
    MoneyField,
    Plugin,
    Ref,
    Role,
    Session,
    field,
    owner,
)

plugin = Plugin("shop", version="1.0.0")


class Deal(Entity):
    name: Field[str]
    account: Field[Ref[Account]]
    amount: MoneyField
    stage: Field[str] = field(default="new")
    salary: Field[int | None] = field(default=None)
    owner: Field[str | None] = field(default=None)
    code: Field[str | None] = field(default=None, unique=True)
    details: Field[dict[str, Any] | None] = field(default=None)


class DealClosed(Event[Deal], name="shop.deal_closed", version=1):
    amount: Money
    reason: str = "price"
    stage: str = "won"
    note: str = ""


plugin.entities(Deal)
plugin.events(DealClosed)


@plugin.service
class Shop:
    """Closes deals."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def close(self, deal: Deal) -> Deal:
        closed = self._session.update(Deal, deal.id, {"stage": "closed"})
        self._session.emit(DealClosed(record=deal.ref, amount=deal.amount))
        return closed


REP = (
    Role("rep")
    .allow(Account, "read", "create", "update", "delete", where=owner)
    .allow(Deal, "read", "create", "update", "delete", where=owner, fields={"salary": "none"})
)
READER = Role("reader").allow(Account, "read").allow(Deal, "read")
