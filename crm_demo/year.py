"""A simulated year of a company with 200 accounts: the same seed gives the same records and figures."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from crm_core import CRM, Account, Contact, Email, FixedClock, Money, Ref
from crm_sales.api import Opportunity, Sales
from crm_service.api import Priority, Service, Ticket

from .company import ACTORS, SETUP, START

ACCOUNTS = 200
DAYS = 364
INDUSTRIES = ("steel", "food", "software", "retail", "health")
SURNAMES = ("Adler", "Brandt", "Chen", "Diaz", "Ernst", "Fuchs", "Garcia", "Hahn", "Ito", "Jung")
REASONS = ("price", "product", "timing", "relationship")


def live(crm: CRM, clock: FixedClock, seed: int, step: Callable[[int], None], *, days: int = DAYS) -> None:
    """Fill the company with a year (or *days*) of deals and tickets; *step* hears how many days have passed."""
    chance = random.Random(f"{seed}/year")  # a simulation, not a secret
    accounts = _customers(crm, chance)
    deals: list[tuple[str, Ref[Opportunity]]] = []
    first = START.date()
    for day in range(days):
        today = datetime.combine(first + timedelta(days=day), START.time(), START.tzinfo)
        if today > clock.now():
            clock.advance(today - clock.now())
        if today.weekday() < 5:
            deals += _new_deals(crm, chance, accounts)
            deals = list(_moved(crm, chance, deals))
            _tickets(crm, clock, chance, accounts)
        step(day + 1)
    crm.run_pending()


def _customers(crm: CRM, chance: random.Random) -> list[Account]:
    with crm.session(SETUP, reason="the simulated year") as s:
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
        return stored


def _new_deals(crm: CRM, chance: random.Random, accounts: list[Account]) -> list[tuple[str, Ref[Opportunity]]]:
    """One or two new deals a day, each its account's owner's."""
    made = []
    for _ in range(chance.choice((1, 1, 2))):
        account = chance.choice(accounts)
        amount = Money(chance.randrange(5, 400) * 100, chance.choices(("EUR", "USD", "CNY"), (8, 2, 1))[0])
        owner = account.owner or "bob"
        with crm.session(ACTORS[owner]) as s:
            expected = (crm.runtime.clock.now() + timedelta(days=chance.randrange(20, 120))).date()
            deal = s.create(Opportunity(name=f"Deal with {account.name}", account=account.ref, amount=amount, expected_close=expected))
            made.append((owner, deal.ref))
    return made


def _moved(crm: CRM, chance: random.Random, deals: list[tuple[str, Ref[Opportunity]]]) -> Iterator[tuple[str, Ref[Opportunity]]]:
    """Close some of the open deals, of which five in eight are won; give back those that stay open."""
    for owner, deal in deals:
        fate = chance.random()
        if fate > 0.03:
            yield owner, deal
            continue
        with crm.session(ACTORS[owner]) as s:
            if chance.random() < 0.625:
                s.use(Sales).win(deal, reason=chance.choice(REASONS))
            else:
                s.use(Sales).lose(deal, reason=chance.choice(REASONS))


def _tickets(crm: CRM, clock: FixedClock, chance: random.Random, accounts: list[Account]) -> None:
    """Two tickets a day; most are answered in time."""
    for _ in range(2):
        priority = chance.choices((Priority.NORMAL, Priority.URGENT), (3, 1))[0]
        wait = timedelta(minutes=chance.choice((10, 20, 40, 55, 90)))
        work = timedelta(minutes=chance.choice((30, 60, 120)))
        with crm.session(ACTORS["finn"]) as s:
            ticket = s.create(Ticket(subject="A question", account=chance.choice(accounts).ref, priority=priority))
            clock.advance(wait)
            s.use(Service).reply(ticket, "We are on it.")
        clock.advance(work)
        with crm.session(ACTORS["finn"]) as s:
            s.use(Service).solve(ticket)
