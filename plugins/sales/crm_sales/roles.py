"""The roles that come with sales."""

from __future__ import annotations

from crm_core import Account, Contact, Entity, ExchangeRate, Interaction, Note, Role, Tag, Tagging
from crm_core.rules import F, Rule, owner, related, subordinates

from .leads import Lead
from .opportunities import Opportunity, StageHistory
from .orders import Order, OrderLine
from .pipeline import Pipeline, Stage
from .plugin import plugin
from .products import PriceBook, PriceBookEntry, Product
from .promises import Commitment
from .quotes import Quote, QuoteLine

OWN: Rule = owner | subordinates
_Entities = tuple[type[Entity], ...]
_CONFIGURED: _Entities = (Pipeline, Stage, Product, PriceBook, PriceBookEntry, ExchangeRate)
_OWNED: _Entities = (Account, Contact, Lead, Opportunity, Quote, Interaction, Note)
_PERMISSIONS = ("take_in", "win", "lose", "move", "reopen", "convert", "claim", "release", "quote", "order")

rep = Role("sales.rep", label="sales.role.rep")
for _entity in _OWNED:
    rep.allow(_entity, "read", "create", "update", where=OWN)
rep.allow(Lead, "read", where=F("owner").is_null())
rep.allow(Order, "read", "update", where=OWN)
rep.allow(QuoteLine, "read", "create", "update", "delete", where=related("quote", OWN))
rep.allow(OrderLine, "read", where=related("order", OWN))
rep.allow(StageHistory, "read", where=related("opportunity", OWN))
rep.allow(Commitment, "read", "create", "update", where=related("opportunity", OWN))
rep.allow(Tag, "read", "create").allow(Tagging, "read", "create", "delete", where=OWN)
for _entity in _CONFIGURED:
    rep.allow(_entity, "read")
rep.permit(*(f"sales.{name}" for name in _PERMISSIONS))

manager = Role("sales.manager", label="sales.role.manager", extends=["sales.rep"])
for _entity in _OWNED:
    manager.allow(_entity, "read", "create", "update", "delete", "assign", "export")
manager.allow(Order, "read", "update", "assign", "export")
_PARTS: _Entities = (QuoteLine, Commitment)
for _entity in _PARTS:
    manager.allow(_entity, "read", "create", "update", "delete")
_FACTS: _Entities = (OrderLine, StageHistory)
for _entity in _FACTS:
    manager.allow(_entity, "read", "export")
for _entity in _CONFIGURED:
    manager.allow(_entity, "read", "create", "update", "delete")

plugin.role(rep)
plugin.role(manager)
