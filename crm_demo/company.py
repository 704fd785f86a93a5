"""The company of the demonstration: its people, its clock, its CRM, and the host's transaction that a step is done in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import CRM, Account, Actor, Contact, FixedClock, Runtime, Session, User

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
TENANT = "demo"


class People:
    """The directory: Ann leads Bob and Dan in sales, Eve and Finn answer customers, Mia makes the company known."""

    USERS = (
        User("ann", "Ann Berg", email="ann@example.com", teams={"sales"}, timezone="Europe/Berlin"),
        User("bob", "Bob Stein", email="bob@example.com", manager="ann", teams={"sales"}, timezone="Europe/Berlin"),
        User("dan", "Dan Wolf", email="dan@example.com", manager="ann", teams={"sales"}, timezone="Europe/Berlin"),
        User("eve", "Eve Lang", email="eve@example.com", teams={"service"}, timezone="Europe/Berlin"),
        User("mia", "Mia Sommer", email="mia@example.com", teams={"marketing"}, timezone="Europe/Berlin"),
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
    "ann": _actor("ann", "sales.manager", "marketing.member", "analytics.analyst", "erp_bridge.reader", "service.manager"),
    "bob": _actor("bob", "sales.rep"),
    "dan": _actor("dan", "sales.rep"),
    "eve": _actor("eve", "service.manager"),
    "finn": _actor("finn", "service.agent"),
    "mia": _actor("mia", "marketing.manager"),
    "visitor": _actor("visitor", "service.respondent"),
}
SETUP = Actor.system("demo", tenant=TENANT)


class Company:
    """The host of the demonstration: it owns the engine and the transactions, and the CRM joins them.

    Attributes:
        crm: the company's CRM.
        clock: a clock that only the story moves.
        engine: the host's engine.
        seed: the same seed gives the same records and figures.
        root: the folder through which the ERP is reached.
    """

    def __init__(self, url: str, seed: int, root: Path, *, lives: int = 0, now: datetime = START) -> None:
        """Open it; *lives* counts the processes that worked on it before, so that no two of them make the same ids."""
        from .erp import bridge

        self.root = root
        self.clock = FixedClock(now)
        self.engine: Engine = create_engine(url)
        self.seed = seed
        self.crm = CRM(
            self.engine,
            plugins=[
                crm_analytics.plugin.configured(zone="Europe/Berlin", grade_currency="EUR"),
                crm_erp_bridge.plugin.configured(bridges=[bridge(root)]),
                crm_marketing.plugin,
                crm_sales.plugin,
                crm_service.plugin,
            ],
            directory=People(),
            runtime=Runtime.seeded(f"{seed}/{lives}" if lives else seed, clock=self.clock),
            region="DE",
        )
        self._transaction: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Begin a transaction of the host's; the sessions opened within it commit or vanish with it."""
        with self.engine.connect() as connection, connection.begin():
            self._transaction = connection
            try:
                yield connection
            finally:
                self._transaction = None

    @contextmanager
    def session(self, who: str = "", *, reason: str | None = None) -> Iterator[Session]:
        """Open a session of somebody, or of the one who sets things up, in the transaction that is open, else in its own."""
        with self.crm.session(ACTORS[who] if who else SETUP, on=self._transaction, reason=reason) as s:
            yield s

    @cached_property
    def accounts(self) -> list[Account]:
        """The company's simulated customers."""
        with self.session() as s:
            return s.query(Account).where(Account.external_ref.startswith("demo:")).order_by(Account.id).all()

    @cached_property
    def contacts(self) -> dict[str, Contact]:
        """Who to talk to, by the id of their account."""
        with self.session() as s:
            found = s.query(Contact).where(Contact.account.in_([a.id for a in self.accounts])).all()
        return {c.account.id: c for c in found if c.account is not None}

    def close(self) -> None:
        """Let go of the database."""
        self.crm.close()
        self.engine.dispose()
