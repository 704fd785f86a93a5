"""[C02] What the customer view costs: a number of statements that does not grow, and milliseconds among thousands of accounts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter, process_time
from typing import Any

import pytest
from sqlalchemy import Engine, event

import crm_sales
import crm_service
from crm_core import CRM, Account, Actor, Contact, FixedClock, Interaction, Link, Money, Ref, Runtime
from crm_core.permissions import prepared
from crm_sales.api import Opportunity
from crm_service.api import Ticket
from tests.figures import LONG

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
LOOKS = 200
ACCOUNTS = 10_000 if LONG else 2_000
SETUP = Actor.system("setup", tenant="main")
MANAGER = Actor("1", roles={"sales.manager", "service.manager"})


@pytest.fixture
def crm(make_crm: Callable[..., CRM]) -> CRM:
    return make_crm(plugins=[crm_sales.plugin, crm_service.plugin], runtime=Runtime.seeded(1, clock=FixedClock(START)))


def fill(crm: CRM, accounts: int, each: int) -> list[Ref[Account]]:
    """Make accounts with *each* contacts, deals, tickets and interactions."""
    with crm.session(SETUP) as s:
        refs = [a.ref for a in s.create_many(Account(name=f"Account {n}", owner="7") for n in range(accounts)).ok]
        at, price = START - timedelta(days=9), Money("10", "EUR")
        s.create_many(Contact(name="C", account=r) for r in refs for _ in range(each))
        s.create_many(Opportunity(name="D", account=r, amount=price, owner="7") for r in refs for _ in range(each))
        s.create_many(Ticket(subject="T", account=r) for r in refs for _ in range(each))
        s.create_many(Interaction(at=at, subject="I", links=[Link.to(r)]) for r in refs for _ in range(each))
    return refs


def test_c02_the_number_of_statements_does_not_grow(crm: CRM, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    known: Any = prepared._cursor

    def counting(connection: Any, sql: str) -> Any:
        sent.append(sql)
        return known(connection, sql)

    def hear(*given: Any) -> None:
        sent.append(given[2])

    monkeypatch.setattr(prepared, "_cursor", counting)
    event.listen(Engine, "before_cursor_execute", hear)
    counts = []
    for accounts, each in ((3, 6), (3, 40)):
        refs = fill(crm, accounts, each)
        with crm.session(MANAGER, write=False) as s:
            s.view360(refs[0])  # what a session asks once is asked
            sent.clear()
            s.view360(refs[1])
            counts.append(len(sent))
    event.remove(Engine, "before_cursor_execute", hear)
    print(f"{crm.bound.kind}: {counts[0]} statements a view, savepoints included")
    assert counts[0] == counts[1]
    assert 0 < counts[0] <= 40


def test_c02_a_view_is_quick_among_many_accounts(crm: CRM) -> None:
    if crm.bound.kind != "sqlite":
        pytest.skip("the figure is SQLite's; the number of statements is tested on both")
    refs = fill(crm, ACCOUNTS, 1)
    with crm.session(SETUP) as s:  # one customer to whom much happened, and whom every page must not read whole
        busy = refs[ACCOUNTS // 2]
        s.create_many(Interaction(at=START - timedelta(hours=n), subject="I", links=[Link.to(busy)]) for n in range(2_000))
    taken, worked = [], []
    for n in range(LOOKS):
        with crm.session(MANAGER, write=False) as s:
            begun, work = perf_counter(), process_time()
            view = s.view360(refs[(n * 7919) % len(refs)])
            taken.append((perf_counter() - begun) * 1000)
            worked.append((process_time() - work) * 1000)
            assert len(view.panels) == 7
    begun = perf_counter()
    with crm.session(MANAGER, write=False) as s:
        assert len(s.view360(busy).timeline) == 20
    of_busy = (perf_counter() - begun) * 1000
    (p50, p95), (work50, work95) = ((each[LOOKS // 2], each[LOOKS * 95 // 100]) for each in (sorted(taken), sorted(worked)))
    print(f"sqlite, {ACCOUNTS:,} accounts with a contact, a deal, a ticket and an interaction each; {LOOKS} views, seed 1")
    print(f"p50 {p50:.1f} ms, p95 {p95:.1f} ms; of the processor {work50:.1f} and {work95:.1f} ms")
    print(f"of a customer with 2,000 interactions: {of_busy:.1f} ms")
    assert work95 < 1000  # what reads the whole table takes longer; the figures are what is printed
