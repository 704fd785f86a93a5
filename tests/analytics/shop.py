"""A plugin of its own that declares purchases, as a vendor's would: analytics knows nothing of it."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from crm_core import Account, Entity, Field, MoneyField, Plugin, Ref, field


class Purchase(Entity):
    """Something an account bought."""

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "on"),)

    account: Field[Ref[Account]] = field()
    on: Field[date] = field()
    amount: MoneyField = field()


plugin = Plugin("shop", version="1.0.0")
plugin.entities(Purchase)
plugin.dimension("account", Purchase, "account", label="Customer")
plugin.measure("purchases", Purchase, at="on", label="Purchases", unit="purchases", formula="number of purchases")
plugin.measure("spent", Purchase, of="amount", at="on", label="Spent", unit="money", formula="sum of purchases")
