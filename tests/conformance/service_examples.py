"""Arguments for the methods of our services that the kit cannot make up."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crm_core import Account, Contact, Money
from crm_core.testing import Maker, example
from crm_marketing.api import Campaign, CampaignStatus, Marketing
from crm_sales.api import LineDraft, Opportunity, Quote, Sales


@example(Sales.quote)
def lines(a: Maker) -> Mapping[str, Any]:
    return {"deal": _deal(a), "lines": [LineDraft(description="Seats", price=Money(10, "EUR"), tax=Decimal(19))]}


@example(Sales.send)
def drafted(a: Maker) -> Mapping[str, Any]:
    quote: Quote = a.session.use(Sales).quote(**lines(a))
    return {"quote": quote}


@example(Sales.reopen)
def closed(a: Maker) -> Mapping[str, Any]:
    return {"deal": a.session.use(Sales).win(_deal(a), reason="price")}


@example(Sales.waterfall)
def span(a: Maker) -> Mapping[str, Any]:
    return {"since": a.session.crm.runtime.clock.now(), "currency": "EUR"}


@example(Marketing.preview)
def rule(a: Maker) -> Mapping[str, Any]:
    return {"entity": "contact", "rule": {"op": "eq", "field": "name", "value": "Ann"}}


@example(Marketing.send)
def campaign(a: Maker) -> Mapping[str, Any]:
    return {"campaign": a.make(Campaign, status=CampaignStatus.ACTIVE), "purpose": "news"}


@example(Marketing.withdraw)
def consented(a: Maker) -> Mapping[str, Any]:
    person = a.make(Contact)
    a.session.use(Marketing).give_consent(person, "news", text="Send me news.", evidence={"form": 1}, source="web")
    return {"person": person}


def _deal(a: Maker) -> Opportunity:
    return a.make(Opportunity, name="Seats", account=a.make(Account).ref, amount=Money(10, "EUR"))
