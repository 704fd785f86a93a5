"""The company of the demonstration: its people, its clock, its CRM."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import crm_sales
import crm_service
from crm_core import CRM, Actor, FixedClock, Runtime, User

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
TENANT = "demo"


class People:
    """The directory: Ann leads Bob and Dan in sales, Eve and Finn answer customers."""

    USERS = (
        User("ann", "Ann Berg", email="ann@example.com", teams={"sales"}, timezone="Europe/Berlin"),
        User("bob", "Bob Stein", email="bob@example.com", manager="ann", teams={"sales"}, timezone="Europe/Berlin"),
        User("dan", "Dan Wolf", email="dan@example.com", manager="ann", teams={"sales"}, timezone="Europe/Berlin"),
        User("eve", "Eve Lang", email="eve@example.com", teams={"service"}, timezone="Europe/Berlin"),
        User("finn", "Finn Roth", email="finn@example.com", manager="eve", teams={"service"}, timezone="Europe/Berlin"),
    )

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        """Return the people, or those of *ids*."""
        return [u for u in self.USERS if ids is None or u.id in ids]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        """Return somebody with their roles."""
        return ACTORS.get(user_id)


def _actor(id: str, *roles: str) -> Actor:
    return Actor(id, tenant=TENANT, roles=roles, timezone="Europe/Berlin")


ACTORS = {
    "ann": _actor("ann", "sales.manager"),
    "bob": _actor("bob", "sales.rep"),
    "dan": _actor("dan", "sales.rep"),
    "eve": _actor("eve", "service.manager"),
    "finn": _actor("finn", "service.agent"),
}
SETUP = Actor.system("demo", tenant=TENANT)


def open_company(url: str, seed: int) -> tuple[CRM, FixedClock]:
    """Open the company's CRM on a clock that the story moves; the same seed gives the same ids and numbers."""
    clock = FixedClock(START)
    crm = CRM(
        url,
        plugins=[crm_sales.plugin, crm_service.plugin],
        directory=People(),
        runtime=Runtime.seeded(seed, clock=clock),
        region="DE",
    )
    return crm, clock
