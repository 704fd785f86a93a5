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
STAGES = ("new", "prospecting", "engaging", "proposal", "negotiation")
REASONS = ("price", "product", "timing", "relationship")

Deal = tuple[str, Ref[Opportunity], int]
"""An open deal: whose it is, which it is, and how far it came."""


def live(crm: CRM, clock: FixedClock, seed: int, step: Callable[[int], None], *, days: int = DAYS) -> None:
    """Fill the company with a year (or *days*) of deals and tickets; *step* hears how many days have passed."""
    chance = random.Random(f"{seed}/year")  # a simulation, not a secret
    accounts = _customers(crm, chance)
    deals: list[Deal] = []
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


def _new_deals(crm: CRM, chance: random.Random, accounts: list[Account]) -> list[Deal]:
    """One or two new deals a day, each its account's owner's."""
    made = []
    for _ in range(chance.choice((1, 1, 2))):
        account = chance.choice(accounts)
        amount = Money(chance.randrange(5, 400) * 100, chance.choices(("EUR", "USD", "CNY"), (8, 2, 1))[0])
        owner = account.owner or "bob"
        with crm.session(ACTORS[owner]) as s:
            expected = (crm.runtime.clock.now() + timedelta(days=chance.randrange(20, 120))).date()
            deal = s.create(Opportunity(name=f"Deal with {account.name}", account=account.ref, amount=amount, expected_close=expected))
            made.append((owner, deal.ref, 0))
    return made


def _moved(crm: CRM, chance: random.Random, deals: list[Deal]) -> Iterator[Deal]:
    """Move some of the open deals a stage on, win most of those that come to the end, lose some on the way; yield what stays open."""
    for owner, deal, stage in deals:
        fate = chance.random()
        if fate > 0.09:
            yield owner, deal, stage
            continue
        with crm.session(ACTORS[owner]) as s:
            sales = s.use(Sales)
            if fate < 0.012:
                sales.lose(deal, reason=chance.choice(REASONS))
            elif stage + 1 < len(STAGES):
                changes: dict[str, object] = {"stage": STAGES[stage + 1]}
                if chance.random() < 0.2:
                    amount = s.get(Opportunity, deal).amount
                    changes["amount"] = (amount * chance.choice((80, 90, 115, 130)) / 100).rounded()
                s.update(Opportunity, deal, changes)
                yield owner, deal, stage + 1
            else:
                sales.win(deal, reason=chance.choice(REASONS))


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
