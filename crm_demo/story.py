"""One customer's life: from a campaign to a lead, a won deal, an order, an invoice, onboarding, an answered question and an opinion."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import attrs

from crm_core import Account, Channel, Contact, Direction, ExchangeRate, Interaction, Link, Money
from crm_erp_bridge.api import ErpBridge
from crm_marketing.api import AttributionModel, Campaign, CampaignCost, CampaignStatus, Marketing, Roi
from crm_sales.api import Commitment, Lead, LeadIntake, LineDraft, Opportunity, Order, Quote, Rounding, Sales
from crm_sales.api import Settings as SalesSettings
from crm_service.api import (
    BusinessCalendar,
    Metric,
    Priority,
    Service,
    ServiceRequest,
    SlaPolicy,
    Survey,
    SurveyKind,
    SurveyResponse,
    Ticket,
)

from .company import Company
from .erp import trade
from .play import Step

DEAL = "100 seats"
QUESTION = "How do we invite colleagues?"
SURVEY = "After support"


def set_up(company: Company) -> None:
    """Make what a company decides once: currencies, the pool of leads, the pipeline, working hours and promised times."""
    with company.session(reason="set up") as s:
        s.change_settings(
            SalesSettings, {"base_currency": "EUR", "currency": "EUR", "timezone": "Europe/Berlin", "lead_pool": ["bob", "dan"]}
        )
        s.create_many(
            [
                ExchangeRate(base=base, quote="EUR", valid_from=date(2026, 1, 1), rate=Decimal(rate), source="demo")
                for base, rate in (("USD", "0.90"), ("CNY", "0.125"))
            ]
        )
        s.use(Sales).setup()
        day = [["09:00", "12:30"], ["13:30", "18:00"]]
        hours = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), day)
        calendar = s.create(BusinessCalendar(name="Office", zone="Europe/Berlin", hours=hours))
        targets = {
            Priority.URGENT.value: {Metric.FIRST_RESPONSE.value: 60, Metric.RESOLUTION.value: 480},
            Priority.NORMAL.value: {Metric.FIRST_RESPONSE.value: 240, Metric.RESOLUTION.value: 1440},
        }
        s.create(SlaPolicy(name="Standard", calendar=calendar.ref, targets=targets))
        s.create(Survey(name=SURVEY, kind=SurveyKind.NPS, question="Would you recommend us?", low_score=6, quiet_days=60))


def campaign(company: Company) -> None:
    """Make the company known: a campaign and what it costs."""
    with company.session("mia") as s:
        spring = s.create(
            Campaign(
                name="Spring",
                code="spring-26",
                channel=Channel.WEB,
                status=CampaignStatus.ACTIVE,
                budget=Money(2000, "EUR"),
                expected_revenue=Money(20000, "EUR"),
            )
        )
        s.create(CampaignCost(campaign=spring.ref, day=date(2026, 1, 5), amount=Money(1500, "EUR"), what="Advertisements"))


def ask(company: Company) -> None:
    """Somebody whom the campaign led here fills in a form, and another one later: one lead, given to the next in turn."""
    with company.session() as s:
        link = {"utm_campaign": "spring-26", "utm_source": "search", "utm_medium": "cpc"}
        given = LeadIntake("Carol Chen", company="Acme GmbH", email="Carol@Acme.example", utm=link, message="100 seats, please")
        s.use(Sales).intake(given, key="form:1")
    company.clock.advance(timedelta(hours=2))
    with company.session() as s:
        link = {"utm_source": "newsletter", "utm_medium": "email"}
        s.use(Sales).intake(LeadIntake("Carol Chen", email="carol@acme.example", utm=link, message="Can you call me?"), key="form:2")
    company.clock.advance(timedelta(hours=1))


def win_over(company: Company) -> None:
    """Call the lead, convert it, and promise what it takes."""
    with company.session("bob") as s:
        lead = s.query(Lead).one()
        now = company.clock.now()
        s.create(Interaction(at=now, channel=Channel.CALL, direction=Direction.OUTBOUND, subject="First call", links=[Link.to(lead)]))
        company.clock.advance(timedelta(days=4))
        done = s.use(Sales).convert(lead, deal=DEAL, amount=Money("12340.50", "EUR"))
        what = "Go live by 1 March, with training on site"
        s.create(Commitment(opportunity=done.opportunity, what=what, who="eve", due=date(2026, 3, 1)))


def quote_and_win(company: Company) -> None:
    """Quote, take the order, and win the deal."""
    lines = [
        LineDraft(description="Seat, one year", quantity=Decimal(100), price=Money("120.00", "EUR"), discount=Decimal(5), tax=Decimal(19)),
        LineDraft(description="Onboarding day", quantity=Decimal(1), price=Money("990.00", "EUR"), discount=Decimal(5), tax=Decimal(19)),
    ]
    with company.session("bob") as s:
        sales = s.use(Sales)
        deal = s.query(Opportunity).where(Opportunity.name == DEAL).one()
        quote = sales.accept(sales.send(sales.quote(deal, lines, rounding=Rounding.LINE)))
        sales.confirm(sales.order(quote))
        sales.win(deal.ref, reason="price")


def answer(company: Company) -> None:
    """Ten days later the customer asks something, and is answered within half an hour."""
    company.clock.advance(timedelta(days=10, hours=2))
    with company.session("eve") as s:
        customer = s.query(Account).where(Account.name == "Acme GmbH").one()
        carol = s.query(Contact).where(Contact.account == customer.ref).one()
        ticket = s.create(Ticket(subject=QUESTION, account=customer.ref, contact=carol.ref, priority=Priority.URGENT))
        company.clock.advance(timedelta(minutes=25))
        service = s.use(Service)
        service.reply(ticket, "Settings, then People, then Invite.")
        service.solve(ticket)


def opinion(company: Company) -> None:
    """Ask whether the customer would recommend us; the answer comes through the link that was sent."""
    with company.session("eve") as s:
        ticket = s.query(Ticket).where(Ticket.subject == QUESTION).one()
        survey = s.query(Survey).where(Survey.name == SURVEY).one()
        carol = s.get(Contact, ticket.contact) if ticket.contact else None
        (invited,) = s.use(Service).invite(survey, [carol] if carol else [], about=ticket)
    assert invited.token is not None
    with company.session("visitor") as s:
        s.use(Service).respond(invited.token, 9, "Quick and clear.")


STORY = [
    Step("set up", set_up),
    Step("campaign", campaign),
    Step("ask", ask),
    Step("win over", win_over),
    Step("quote and win", quote_and_win),
    Step("invoice", trade, joined=False),
    Step("answer", answer),
    Step("opinion", opinion),
]


@attrs.frozen
class Life:
    """What the story left: ids, and the figures people look at."""

    name: str
    account: str
    contact: str
    deal: str
    order: str
    request: str
    ticket: str
    touches: int
    net: Money
    tax: Money
    total: Money
    promise: str
    answered_in: timedelta
    score: int
    roi: Roi
    invoiced: Money
    paid: Money
    balance: Money


def life(company: Company) -> Life:
    """Read what the story left."""
    with company.session() as s:
        deal = s.query(Opportunity).where(Opportunity.name == DEAL).one()
        assert deal.account is not None
        quote = s.query(Quote).where(Quote.opportunity == deal.ref).one()
        assert quote.net is not None
        assert quote.tax is not None
        order = s.query(Order).where(Order.quote == quote.ref).one()
        contact = s.query(Contact).where(Contact.account == deal.account).one()
        ticket = s.query(Ticket).where(Ticket.subject == QUESTION).one()
        (promise,) = s.use(Service).open_promises(deal.account)
        score = s.query(SurveyResponse).where(SurveyResponse.contact == contact.ref).one().score
        spring = s.query(Campaign).where(Campaign.code == "spring-26").one()
        bought = s.use(ErpBridge).purchase_history(deal.account)
        (answered,) = (c for c in s.use(Service).sla(ticket) if c.metric is Metric.FIRST_RESPONSE)
        return Life(
            name=s.get(Account, deal.account).name,
            account=deal.account.id,
            contact=contact.id,
            deal=deal.id,
            order=order.id,
            request=s.query(ServiceRequest).where(ServiceRequest.account == deal.account).one().id,
            ticket=ticket.id,
            touches=s.query(Interaction).where(Interaction.links.has(contact.id)).count(),
            net=quote.net,
            tax=quote.tax,
            total=order.total,
            promise=promise.what,
            answered_in=answered.consumed,
            score=score,
            roi=s.use(Marketing).roi(spring.ref, AttributionModel.U_SHAPED),
            invoiced=bought.invoiced["EUR"],
            paid=bought.paid["EUR"],
            balance=bought.balance["EUR"],
        )
