"""A company with every module, sealed fields and custom fields, for attacks on what the small company of ``raid`` does not have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

import crm_erp_bridge
import crm_marketing
import crm_service
from crm_core import (
    CRM,
    Account,
    Actor,
    AutomationRule,
    Contact,
    CustomKind,
    Email,
    Entity,
    Field,
    FileKeys,
    Interaction,
    Money,
    Note,
    Plugin,
    Role,
    RuleTrigger,
    Session,
    Tag,
    Tagging,
    field,
    owner,
)
from crm_core.rules import F, related, to_json
from crm_marketing.api import Campaign, Segment, SegmentMember
from crm_sales.api import Lead, Opportunity, Quote, Sales
from crm_service.api import ServiceRequest, Ticket
from tests.attacks.raid import CANARY, PLUGINS, SALARY, SYSTEM, World
from tests.laws.shop import Deal

vault = Plugin("vault", version="1")


class Card(Entity):
    """Has sealed fields."""

    name: Field[str]
    iban: Field[str | None] = field(default=None, length=34, sealed=True, searchable=True, unique=True)
    pin: Field[str | None] = field(default=None, sealed=True)
    owner: Field[str | None] = field(default=None)


vault.entities(Card)

VERBS = ("read", "create", "update", "delete", "export")
OWN: tuple[type[Any], ...] = (Account, Contact, Lead, Opportunity, Quote, Ticket, ServiceRequest, Campaign, Segment)
PERMITTED = (
    *(f"sales.{n}" for n in ("take_in", "win", "lose", "move", "reopen", "convert", "claim", "release", "quote", "order")),
    *("marketing.work", "marketing.run", "service.work", "analytics.grade", "erp_bridge.operate", "shop.none"),
)
REP = Role("rep")
for _own in OWN:
    REP.allow(_own, *VERBS, where=owner, fields={"custom.salary": "none", "website": "masked"} if _own is Account else {})
REP.allow(Deal, *VERBS, where=owner, fields={"salary": "none", "code": "none"})
REP.allow(Card, "read", "create", "update", where=owner, fields={"pin": "none"})
REP.allow(Interaction, "read", "create", "update", where=owner).allow(Note, "read", "create", "update", where=owner)
REP.allow(Tag, "read").allow(Tagging, "read", "create", "update", "delete", where=owner)
REP.allow(SegmentMember, "read", where=related("segment", owner))
REP.allow(AutomationRule, "read", "create", "update", "delete", where=owner)
REP.permit(*(p for p in PERMITTED if p != "shop.none"))
CHIEF = Role("chief")
_RULED: tuple[type[Any], ...] = (*OWN, Deal, AutomationRule)
for _entity in _RULED:
    CHIEF.allow(_entity, *VERBS, "assign")
ABROAD_SYSTEM = Actor.system("test", tenant="other")


@attrs.define(eq=False)
class House(World):
    """The company. User 1 sees their own; user 2 is the chief."""

    lead: Lead = attrs.field(init=False)
    far: Deal = attrs.field(init=False)

    @classmethod
    def opened(cls, url: str, folder: Path) -> CRM:
        modules = [crm_marketing.plugin, crm_service.plugin, crm_erp_bridge.plugin]
        path = folder / "root.keys"
        keys = FileKeys(path) if path.exists() else FileKeys.create(path)
        return CRM(url, plugins=[*PLUGINS, *modules, vault], roles=[REP, CHIEF], keys=keys)

    def settle(self) -> None:
        for actor in (SYSTEM, ABROAD_SYSTEM):
            with self.crm.session(actor) as s:
                add = s.custom_fields.add
                add(Account, "region")
                add(Account, "salary", kind=CustomKind.INTEGER)
                add(Account, "vip", unique=True, readers=["chief"])
                add(Account, "badge", unique=True)
                add(Account, "partner", kind=CustomKind.REFERENCE, target=Account)
                add(Account, "worth", kind=CustomKind.MONEY, currency="EUR")
                add(Account, "since", kind=CustomKind.INSTANT)
                add(Account, "born", kind=CustomKind.DATE)
                add(Account, "rate", kind=CustomKind.DECIMAL)
        super().settle()
        with self.crm.session(SYSTEM) as s:
            s.use(Sales).setup()
            secret = {"custom.salary": SALARY, "custom.vip": CANARY, "custom.badge": CANARY, "custom.region": CANARY}
            s.update(Account, self.theirs.id, secret | {"website": f"https://{CANARY}.example"})
            s.update(
                Account,
                self.mine.id,
                {"custom.salary": SALARY, "custom.vip": "mine", "custom.badge": "b", "website": f"https://{CANARY}.x"},
            )
            self.lead = s.create(Lead(name=CANARY, company=CANARY, emails=[Email(f"{CANARY}@lead.example")], owner="2"))
        with self.crm.session(ABROAD_SYSTEM) as s:
            self.far = s.create(Deal(name=CANARY, account=self.abroad.ref, amount=Money(1, "EUR"), owner="1", code="abroad"))
            s.update(Account, self.abroad.id, {"custom.badge": "far", "custom.vip": CANARY})


def rule(**changed: Any) -> AutomationRule:
    """Make an automation rule of a customer's."""
    given: dict[str, Any] = {
        "name": "x", "entity": "account", "runs_on": RuleTrigger.UPDATED, "condition": to_json(F("name") == "x"),
        "actions": [{"set": {"name": "y"}}],
    } | changed  # fmt: skip
    return AutomationRule(**given)


def segment(**changed: Any) -> Segment:
    return Segment(**({"name": "x", "entity": "account", "owner": "1"} | changed))


def undone(s: Session, work: Callable[[], Any]) -> None:
    """Try to write, and undo what was written."""
    with suppress(ZeroDivisionError), s.savepoint():
        work()
        raise ZeroDivisionError
