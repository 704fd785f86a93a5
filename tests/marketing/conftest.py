"""A CRM with the marketing module, alone or beside sales, and a clock that stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from crm_core import CRM, Actor, Contact, FixedClock, Money, Runtime, Session
from crm_marketing import plugin
from crm_marketing.api import Campaign
from crm_sales import plugin as sales

MANAGER = Actor("1", roles={"marketing.manager"})
MEMBER = Actor("2", roles={"marketing.member"})
SYSTEM = Actor.system("test", tenant="main")
MONDAY = datetime.fromisoformat("2026-03-02T09:00+00:00")
MakeCRM = Callable[..., CRM]


def eur(amount: str | int) -> Money:
    return Money(amount, "EUR")


def people(s: Session, *names: str, **given: Any) -> list[Contact]:
    """Make contacts."""
    return s.create_many([Contact(name=name, **given) for name in names]).ok


def campaign(s: Session, name: str = "Spring", **given: Any) -> Campaign:
    """Make a campaign."""
    return s.create(Campaign(**{"name": name, **given}))


def kinds(crm: CRM, prefix: str = "marketing.") -> list[str]:
    """Return the kinds of the domain events in the journal, in order."""
    with crm.bound.begin(write=False) as connection:
        journal = crm.tables.system.journal
        rows = connection.execute(journal.select().order_by(journal.c.id)).all()
    automatic = (".created.v1", ".updated.v1", ".deleted.v1", ".restored.v1")
    return [r.kind for r in rows if r.kind.startswith(prefix) and not r.kind.endswith(automatic)]


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at Monday, 2026-03-02, 09:00."""
    return FixedClock(MONDAY)


@pytest.fixture
def crm(make_crm: MakeCRM, clock: FixedClock) -> CRM:
    """A CRM with marketing alone."""
    return make_crm(plugins=[plugin], runtime=Runtime.seeded(1, clock=clock))


@pytest.fixture
def both(make_crm: MakeCRM, clock: FixedClock) -> CRM:
    """A CRM with marketing and sales."""
    return make_crm(plugins=[plugin, sales], runtime=Runtime.seeded(1, clock=clock))
