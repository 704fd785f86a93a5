"""A command with a field of every kind, and its plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import attrs

from crm_core.entities.customer import Account, Contact
from crm_core.entities.fields import Ref
from crm_core.entities.money import Money
from crm_core.hooks.actions import ActionDef

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
OTHER = "01890a5d-ac96-774b-bcce-b302099a8058"


class Level(Enum):
    GOLD = "gold"
    BASIC = "basic"


@attrs.define
class Part:
    sku: str
    price: Money
    count: int = 1


@attrs.define
class Everything:
    """A field of every kind."""

    name: str
    when: datetime
    day: date
    price: Money
    ratio: Decimal
    sure: bool
    level: Level
    account: Ref[Account]
    others: list[Ref[Contact]]
    parts: Sequence[Part]
    note: str | None = None
    rest: Any = None
    tip: Money | None = None
    best: Part | None = None
    tags: list[str] = attrs.Factory(list)


def everything(s: Any, cmd: Everything) -> None: ...


PLAIN: dict[str, Any] = {
    "name": "x",
    "when": "2026-01-02T03:04:05+00:00",
    "day": "2026-01-02",
    "price": {"amount": "12.00", "currency": "EUR"},
    "ratio": "0.25",
    "sure": True,
    "level": "gold",
    "account": ID,
    "others": [ID, OTHER],
    "parts": [{"sku": "a", "price": {"amount": "1", "currency": "EUR"}}],
}


def action(fn: Any) -> ActionDef:
    return ActionDef("a", fn, "a.do", "Do")
