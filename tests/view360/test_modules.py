"""[C02] One call gives what all modules know: identity, timeline, deals, orders, balance, tickets, campaigns, consents and surveys."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_analytics.api import Analytics
from crm_core import CRM, Account, Actor, Contact, Email, FixedClock, Interaction, Link, Money, Ref, Role, Runtime, View360
from crm_erp_bridge.api import Invoice, Order, Payment
from crm_marketing.api import Campaign, Marketing
from crm_sales.api import LineDraft, Opportunity, Sales
from crm_service.api import Service, Survey, SurveyKind, Ticket

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = START.date()
SETUP = Actor.system("setup", tenant="main")
ALL = Actor("1", roles={"sales.manager", "service.manager", "marketing.manager", "erp_bridge.reader", "analytics.viewer"})
MODULES = [crm_analytics.plugin, crm_erp_bridge.plugin, crm_marketing.plugin, crm_sales.plugin, crm_service.plugin]


@pytest.fixture
def crm(make_crm: Callable[..., CRM]) -> CRM:
    seller = Role("seller").allow(Account, "read").allow(Contact, "read").allow(Opportunity, "read")
    return make_crm(plugins=MODULES, roles=[seller], runtime=Runtime.seeded(1, clock=FixedClock(START)))


def eur(amount: str) -> Money:
    return Money(amount, "EUR")


def customer(crm: CRM) -> Ref[Contact]:
    """Make Carol of Acme, whom every module knows something of."""
    with crm.session(SETUP) as s:
        acme = s.create(Account(name="Acme"))
        carol = s.create(Contact(name="Carol", account=acme.ref, emails=[Email("carol@acme.example")]))
        s.create(Interaction(at=START, subject="First call", links=[Link.to(carol), Link.to(acme)]))
        sales, marketing, service = s.use(Sales), s.use(Marketing), s.use(Service)
        s.create(Opportunity(name="20 seats", account=acme.ref, contact=carol.ref, amount=eur("2400")))
        won = s.create(Opportunity(name="100 seats", account=acme.ref, contact=carol.ref, amount=eur("12000")))
        lines = [LineDraft(description="Seat", quantity=Decimal(100), price=eur("120"))]
        sales.confirm(sales.order(sales.accept(sales.send(sales.quote(won, lines)))))
        sales.win(won.ref, reason="price")
        order = s.create(Order(number="SO-1", account=acme.ref, ordered_on=DAY, total=eur("14280.00")))
        invoice = s.create(
            Invoice(number="I-1", account=acme.ref, order=order.ref, invoiced_on=DAY, total=eur("14280.00"), open_amount=eur("4280.00"))
        )
        s.create(Payment(number="P-1", account=acme.ref, invoice=invoice.ref, paid_on=DAY, amount=eur("10000.00")))
        s.create(Ticket(subject="The printer burns", account=acme.ref, contact=carol.ref))
        spring = s.create(Campaign(name="Spring"))
        marketing.enrol(spring, [carol])
        marketing.give_consent(carol, "news", text="Yes.", evidence={"form": "x"}, source="website")
        asked = s.create(Survey(name="After support", kind=SurveyKind.NPS, question="?"))
        (invited,) = service.invite(asked, [carol])
        service.respond(str(invited.token), 9, "Kind")
        assert s.use(Analytics).regrade(date(2026, 3, 31)) == 1
        return carol.ref


def data(view: View360 | None, name: str) -> Any:
    assert view is not None
    panel = view.panel(name)
    assert panel is not None, name
    assert panel.error is None
    return panel.data


def test_c02_one_call_gives_what_five_modules_know_of_a_customer(crm: CRM) -> None:
    carol = customer(crm)
    with crm.session(ALL, write=False) as s:
        view = s.view360(carol)
        acme = view.account
        assert acme is not None
        assert [getattr(v.record, "name", "") for v in (view, acme)] == ["Carol", "Acme"]
        assert [[getattr(e.record, "subject", "") for e in v.timeline] for v in (view, acme)] == [["First call"]] * 2
        assert [d.name for d in data(view, "sales.deals_of_contact")["deals"]] == ["20 seats"]
        assert [(o.number, o.total) for o in data(acme, "sales.orders_of_account")["orders"]] == [("O-00001", eur("12000.00"))]
        bought = data(acme, "erp_bridge.purchases")
        assert (bought["count"], bought["balance"]) == (1, [{"amount": "4280.00", "currency": "EUR"}])
        assert [t.subject for t in data(acme, "service.tickets_of_account")["tickets"]] == ["The printer burns"]
        known = data(view, "marketing.marketing_of_contact")
        assert known["campaigns"] == [{"name": "Spring", "status": "planned"}]
        assert [(c["purpose"], c["channel"], c["withdrawn_at"]) for c in known["consents"]] == [("news", "email", None)]
        assert data(acme, "marketing.marketing_of_account")["campaigns"] == [{"name": "Spring", "people": 1}]
        assert [(a["score"], a["comment"]) for a in data(acme, "service.surveys_of_account")["answers"]] == [(9, "Kind")]
        assert data(acme, "analytics.grade_of_account")["grade"] == "C"
        assert json.loads(json.dumps(crm.to_json(view)))["account"]["record"]["name"] == "Acme"


def test_c02_of_modules_whose_records_an_actor_may_not_read_there_is_no_panel(crm: CRM) -> None:
    carol = customer(crm)
    with crm.session(Actor("2", roles={"seller"}), write=False) as s:
        view = s.view360(carol)
        assert view.account is not None
        shown = [p.name for v in (view, view.account) for p in v.panels]
    assert shown == ["sales.deals_of_contact", "core.contacts", "sales.deals_of_account"]
