"""A simulated year of a company with 200 accounts: the same seed gives the same records and figures."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from functools import partial

from crm_analytics.api import RebuildRollups, RegradeCustomers
from crm_core import Account, Contact, Email, Money
from crm_sales.api import Opportunity, Sales, Status
from crm_service.api import Priority, Service, Survey, Ticket, TicketStatus

from .company import START, Company
from .erp import trade
from .play import Step
from .story import SURVEY

ACCOUNTS = 200
DAYS = 364
INDUSTRIES = ("steel", "food", "software", "retail", "health")
SURNAMES = ("Adler", "Brandt", "Chen", "Diaz", "Ernst", "Fuchs", "Garcia", "Hahn", "Ito", "Jung")
STAGES = ("new", "prospecting", "engaging", "proposal", "negotiation")
REASONS = ("price", "product", "timing", "relationship")


def year(days: int = DAYS) -> list[Step]:
    """Return the steps of a year (or of *days*): the customers first, then day after day, then what the ERP makes of it, and grades."""
    lived = [Step(f"day {n + 1}", partial(_live, day=n)) for n in range(days)]
    return [Step("customers", customers), *lived, Step("invoices", trade, joined=False), Step("grades", grade)]


def grade(company: Company) -> None:
    """Grade the customers by what they bought, and add up what dashboards ask."""
    with company.session(reason="the year's end") as s:
        s.perform(RegradeCustomers())
        s.perform(RebuildRollups())


def customers(company: Company) -> None:
    """Make the company's other customers, each with somebody to talk to."""
    chance = random.Random(f"{company.seed}/customers")  # a simulation, not a secret
    with company.session(reason="the simulated year") as s:
        accounts = [
            Account(
                name=f"Customer {n:03d}", industry=chance.choice(INDUSTRIES), owner=chance.choice(("bob", "dan")), external_ref=f"demo:{n}"
            )
            for n in range(1, ACCOUNTS + 1)
        ]
        stored = s.create_many(accounts).ok
        s.create_many(
            Contact(name=f"{chance.choice(SURNAMES)} {n}", account=a.ref, owner=a.owner, emails=[Email(f"person{n}@customer{n}.example")])
            for n, a in enumerate(stored, 1)
        )


def _live(company: Company, day: int) -> None:
    chance = random.Random(f"{company.seed}/day {day}")
    today = datetime.combine(START.date() + timedelta(days=day), START.time(), START.tzinfo)
    if today > company.clock.now():
        company.clock.advance(today - company.clock.now())
    if today.weekday() < 5:
        _move(company, chance)
        _new_deals(company, chance)
        _tickets(company, chance)


def _new_deals(company: Company, chance: random.Random) -> None:
    """One or two new deals a day, each its account's owner's."""
    for _ in range(chance.choice((1, 1, 2))):
        account = chance.choice(company.accounts)
        amount = Money(chance.randrange(5, 400) * 100, chance.choices(("EUR", "USD", "CNY"), (8, 2, 1))[0])
        expected = (company.clock.now() + timedelta(days=chance.randrange(20, 120))).date()
        with company.session(account.owner or "bob") as s:
            s.create(Opportunity(name=f"Deal with {account.name}", account=account.ref, amount=amount, expected_close=expected))


def _move(company: Company, chance: random.Random) -> None:
    """Move some of the open deals a stage on, win those that come to the end, and lose some on the way."""
    with company.session() as s:
        deals = s.query(Opportunity).where(Opportunity.status == Status.OPEN).order_by(Opportunity.id).all()
    for deal in deals:
        fate = chance.random()
        if fate > 0.09:
            continue
        with company.session(deal.owner or "bob") as s:
            if fate < 0.012:
                s.use(Sales).lose(deal, reason=chance.choice(REASONS))
            elif deal.stage == STAGES[-1]:
                s.use(Sales).win(deal, reason=chance.choice(REASONS))
            else:
                changes: dict[str, object] = {"stage": STAGES[STAGES.index(deal.stage) + 1]}
                if chance.random() < 0.2:
                    changes["amount"] = (deal.amount * chance.choice((80, 90, 115, 130)) / 100).rounded()
                s.update(Opportunity, deal.ref, changes)


def _tickets(company: Company, chance: random.Random) -> None:
    """Two tickets a day; most are answered in time, and some say afterwards what they think of it."""
    for _ in range(2):
        priority = chance.choices((Priority.NORMAL, Priority.URGENT), (3, 1))[0]
        account = chance.choice(company.accounts)
        _serve(
            company, chance, Ticket(subject="A question", account=account.ref, contact=company.contacts[account.id].ref, priority=priority)
        )
    with company.session("finn") as s:
        waiting = s.query(Ticket).where(Ticket.status == TicketStatus.NEW).order_by(Ticket.id).all()
    for ticket in waiting:  # opened by a bad score
        _answer(company, ticket, timedelta(minutes=30), timedelta(minutes=30))


def _serve(company: Company, chance: random.Random, question: Ticket) -> None:
    with company.session("finn") as s:
        ticket = s.create(question)
    minutes = chance.choice((10, 20, 40, 55, 90)), chance.choice((30, 60, 120))
    _answer(company, ticket, *(timedelta(minutes=m) for m in minutes))
    if chance.random() < 0.25 and ticket.contact is not None:
        with company.session("eve") as s:
            survey = s.query(Survey).where(Survey.name == SURVEY).one()
            invited = s.use(Service).invite(survey, s.get_many(Contact, [ticket.contact]), about=ticket)
        for each in invited:
            assert each.token is not None
            score = chance.choices((10, 9, 8, 7, 5, 3), (5, 6, 4, 2, 1, 1))[0]
            with company.session("visitor") as s:
                s.use(Service).respond(each.token, score)


def _answer(company: Company, ticket: Ticket, wait: timedelta, work: timedelta) -> None:
    with company.session("finn") as s:
        company.clock.advance(wait)
        s.use(Service).reply(ticket, "We are on it.")
        company.clock.advance(work)
        s.use(Service).solve(ticket)
