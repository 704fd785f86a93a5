"""The people and the plugin that the tests of sales share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from crm_core import CRM, Account, Actor, Money, Session, User
from crm_sales import plugin
from crm_sales.api import Opportunity

R = TypeVar("R")

START = datetime(2026, 5, 4, 9, tzinfo=UTC)
POOL = ["A", "B", "C", "D"]
PLUGIN = plugin.configured(lead_pool=POOL, base_currency="BRL")
PLAIN = plugin.configured(lead_pool=POOL)
BOSS = Actor.system("tests", tenant="main")
MANAGER = Actor("M", roles={"sales.manager"})


def rep(id: str) -> Actor:
    return Actor(id, roles={"sales.rep"})


class Desk:
    """A directory: A and D sell, B has left, C is away, L leads A, and M manages."""

    people = (
        User("A", "Ana", manager="L"),
        User("B", "Ben", active=False),
        User("C", "Cem", absent=True),
        User("D", "Dee"),
        User("L", "Lea"),
        User("M", "Max"),
    )

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        return [u for u in self.people if ids is None or u.id in ids]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


AMOUNT = Money("12000", "EUR")


def deal(s: Session, name: str = "100 seats", amount: Money = AMOUNT, **values: Any) -> Opportunity:
    if "account" not in values:
        values["account"] = s.create(Account(name=f"{name} Ltd")).ref
    return s.create(Opportunity(name=name, amount=amount, **values))


def at_once(crm: CRM, work: Callable[[Session], R], *, times: int, actor: Actor = BOSS) -> list[R]:
    """Do the same in that many sessions at a time."""
    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(lambda _: crm.transact(actor, work, retries=10), range(times)))


def journal(crm: CRM, kind: str) -> int:
    """Count the journal's rows of a kind."""
    from sqlalchemy import func, select

    table = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        return int(connection.execute(select(func.count()).select_from(table).where(table.c.kind == kind)).scalar_one())
