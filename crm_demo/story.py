"""One customer's life: a lead becomes a customer, a won deal, an order, an onboarding request and an answered ticket."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import attrs

from crm_core import CRM, Channel, Contact, Direction, ExchangeRate, FixedClock, Interaction, Link, Money, Session
from crm_sales.api import Commitment, Lead, LeadIntake, LineDraft, Opportunity, Order, Quote, Rounding, Sales
from crm_sales.api import Settings as SalesSettings
from crm_service.api import BusinessCalendar, ClockState, Metric, Priority, Service, ServiceRequest, SlaPolicy, Ticket

from .company import ACTORS, SETUP


@attrs.frozen
class Life:
    """What the story left: ids, and the figures people look at."""

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
    delivered: int


def set_up(crm: CRM) -> None:
    """Make what a company decides once: currencies, the pool of leads, the pipeline, working hours and promised times."""
    with crm.session(SETUP, reason="set up") as s:
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


def tell(crm: CRM, clock: FixedClock) -> Life:
    """Play the story; every step is done by the person whose work it is, with that person's rights."""
    with crm.session(SETUP) as s:
        s.use(Sales).intake(
            LeadIntake("Carol Chen", company="Acme GmbH", email="Carol@Acme.example", source="fair", message="100 seats, please"),
            key="form:1",
        )
    clock.advance(timedelta(hours=3))
    with crm.session(ACTORS["bob"]) as s:
        deal = _win_over(s, clock)
    with crm.session(ACTORS["bob"]) as s:
        quote, order = _quote_and_order(s, deal)
        s.use(Sales).win(deal.ref, reason="price")
    delivered = crm.run_pending()
    customer = deal.account
    assert customer is not None
    clock.advance(timedelta(days=10, hours=2))
    with crm.session(ACTORS["eve"]) as s:
        request = s.query(ServiceRequest).where(ServiceRequest.account == customer).one()
        (promise,) = s.use(Service).open_promises(customer)
        ticket, took = _answer(s, deal, clock)
    with crm.session(SETUP, write=False) as s:
        contact = s.query(Contact).where(Contact.account == customer).one()
        touches = s.query(Interaction).where(Interaction.links.has(contact.id)).count()
    assert quote.net is not None
    assert quote.tax is not None
    return Life(
        account=customer.id,
        contact=contact.id,
        deal=deal.id,
        order=order.id,
        request=request.id,
        ticket=ticket.id,
        touches=touches,
        net=quote.net,
        tax=quote.tax,
        total=order.total,
        promise=promise.what,
        answered_in=took,
        delivered=delivered,
    )


def _win_over(s: Session, clock: FixedClock) -> Opportunity:
    """Call the lead, convert it, and promise what it takes."""
    lead = s.query(Lead).one()
    call = Interaction(at=clock.now(), channel=Channel.CALL, direction=Direction.OUTBOUND, subject="First call", links=[Link.to(lead)])
    s.create(call)
    clock.advance(timedelta(days=4))
    done = s.use(Sales).convert(lead, deal="100 seats", amount=Money("12340.50", "EUR"))
    deal = s.get(Opportunity, done.opportunity)
    s.create(Commitment(opportunity=deal.ref, what="Go live by 1 March, with training on site", who="eve", due=date(2026, 3, 1)))
    return deal


def _quote_and_order(s: Session, deal: Opportunity) -> tuple[Quote, Order]:
    sales = s.use(Sales)
    lines = [
        LineDraft(description="Seat, one year", quantity=Decimal(100), price=Money("120.00", "EUR"), discount=Decimal(5), tax=Decimal(19)),
        LineDraft(description="Onboarding day", quantity=Decimal(1), price=Money("990.00", "EUR"), discount=Decimal(5), tax=Decimal(19)),
    ]
    quote = sales.accept(sales.send(sales.quote(deal, lines, rounding=Rounding.LINE)))
    return quote, sales.confirm(sales.order(quote))


def _answer(s: Session, deal: Opportunity, clock: FixedClock) -> tuple[Ticket, timedelta]:
    """Take a question and answer it; return the ticket and the working time the answer took."""
    ticket = s.create(Ticket(subject="How do we invite colleagues?", account=deal.account, priority=Priority.URGENT))
    clock.advance(timedelta(minutes=25))
    service = s.use(Service)
    service.reply(ticket, "Settings, then People, then Invite.")
    solved = service.solve(ticket)
    clocks = {c.metric: c for c in service.sla(solved)}
    first = clocks[Metric.FIRST_RESPONSE]
    assert first.state is ClockState.MET
    return solved, first.consumed
