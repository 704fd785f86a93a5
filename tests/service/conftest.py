"""A CRM with the service module, a clock that stands, and an office that works from nine to five."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import define

from crm_core import CRM, Actor, FixedClock, Runtime
from crm_service import plugin
from crm_service.api import BusinessCalendar, SlaPolicy

AGENT = Actor("7", roles={"service.agent"})
MANAGER = Actor("1", roles={"service.manager"})
MONDAY = datetime.fromisoformat("2026-03-02T09:00+00:00")
OFFICE = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
TARGETS = {
    "normal": {"first_response": 120, "resolution": 480},
    "urgent": {"first_response": 30, "resolution": 240},
}


@define
class Desk:
    """A service desk: its CRM and its clock, which starts on Monday, 2026-03-02, at 09:00."""

    crm: CRM
    clock: FixedClock

    def at(self, text: str) -> datetime:
        """Move the clock on to ``tue 09:00`` of the first week (``tue2`` of the second), and return the instant."""
        day, _, clock = text.partition(" ")
        days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun").index(day[:3]) + (7 * (int(day[3:]) - 1) if day[3:] else 0)
        hours, minutes = map(int, clock.split(":"))
        wanted = MONDAY + timedelta(days=days, hours=hours - 9, minutes=minutes)
        assert wanted >= self.clock.now(), "a clock does not run backwards"
        return self.clock.advance(wanted - self.clock.now())

    def promise(self, **given: Any) -> SlaPolicy:
        """Make the office's calendar and a policy for all tickets, or for those of ``match``."""
        with self.crm.session(MANAGER) as s:
            calendar = s.query(BusinessCalendar).where(BusinessCalendar.name == "office").first()
            calendar = calendar or s.create(BusinessCalendar(name="office", hours=OFFICE))
            return s.create(SlaPolicy(**{"name": "standard", "calendar": calendar.ref, "targets": TARGETS, **given}))

    def kinds(self, prefix: str = "service.") -> list[str]:
        """Return the kinds of the domain events in the journal, in order."""
        with self.crm.bound.begin(write=False) as connection:
            journal = self.crm.tables.system.journal
            rows = connection.execute(journal.select().order_by(journal.c.id)).all()
        automatic = (".created.v1", ".updated.v1", ".deleted.v1", ".restored.v1")
        return [r.kind for r in rows if r.kind.startswith(prefix) and not r.kind.endswith(automatic)]


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(make_crm: Callable[..., CRM]) -> MakeDesk:
    """Make a desk; options are those of CRM."""

    def make(**options: Any) -> Desk:
        clock = FixedClock(MONDAY)
        options = {"plugins": [plugin], "runtime": Runtime.seeded(1, clock=clock), **options}
        return Desk(make_crm(**options), clock)

    return make


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    """A desk with the module's default settings."""
    return make_desk()
