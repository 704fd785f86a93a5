"""Ours: a session for each operation, as an actor whose role sees some of the records; one plugin's hook on every write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import event

from bench.data import ME, MY_TEAM, Row, deals, people
from bench.systems.base import Reading
from bench.systems.model import BOSS, REP, Deal, Person, plugins
from crm_core import CRM, Actor, Page

PAGE = 50


class Ours:
    """See :class:`bench.systems.base.System`."""

    slow = frozenset[str]()

    def __init__(self, folder: Path, synchronous: str, *, url: str = "", hooks: int = 1) -> None:
        self.crm = CRM(url or f"sqlite:///{folder / 'ours.db'}", plugins=plugins(hooks), roles=[REP, BOSS])
        if not url:

            @event.listens_for(self.crm.bound.engine, "connect")
            def _(dbapi: Any, _record: object) -> None:
                dbapi.execute(f"PRAGMA synchronous={synchronous}")

        self.crm.migrate()
        self._held = ExitStack()
        self.at("main")

    def at(self, tenant: str) -> Ours:
        """Go to a tenant."""
        self.tenant = tenant
        self.me = Actor(ME, tenant=tenant, roles={"rep"}, attributes={"team": MY_TEAM})
        self.boss = Actor("boss", tenant=tenant, roles={"boss"})
        self.one = Actor("nobody", tenant=tenant, roles={"rep"})
        return self

    def fill(self, people_: int, deals_: int) -> None:
        """Fill through the front door."""
        with self.crm.session(Actor.system("bench", tenant=self.tenant)) as s:
            s.create_many(_person(row) for row in people(people_))
            s.create_many(Deal(**row) for row in deals(deals_))
            s.create(Deal(name="The only one", owner="nobody", stage="talks"))

    def ids(self, count: int) -> Sequence[str]:
        """Return ids of people that the actor sees."""
        with self.crm.session(self.me, write=False) as s:
            return [p.id for p in s.query(Person).page(count)]

    def create(self, row: Row) -> object:
        """One session, one create."""
        with self.crm.session(self.me) as s:
            return s.create(_person(row))

    def bulk(self, rows: Sequence[Row]) -> dict[str, Callable[[], object]]:
        """All are audited; there is no other way in."""
        return {"audited": lambda: self._bulk(rows)}

    def _bulk(self, rows: Sequence[Row]) -> None:
        with self.crm.session(self.me) as s:
            for start in range(0, len(rows), 1000):
                s.create_many([_person(row) for row in rows[start : start + 1000]])

    def update(self, id: Any, city: str) -> object:
        """One session, one update."""
        with self.crm.session(self.me) as s:
            return s.update(Person, id, {"city": city})

    def readers(self) -> dict[str, Reading]:
        """In a session for each, and in one that stays open."""
        session = self._held.enter_context(self.crm.session(self.me, write=False))

        def alone(id: str) -> Person:
            with self.crm.session(self.me, write=False) as s:
                return s.get(Person, id)

        return {"connecting": alone, "connection held": lambda id: session.get(Person, id)}

    def rest(self) -> None:
        """End the session that stayed open."""
        self._held.close()

    def pages(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """Page 1, and one at a depth, of who sees some; of who sees all; of who sees one."""
        after = self._cursor(self.boss, 50_000)
        return {
            "page 1": lambda: self._page(self.me).items,
            "sees all": lambda: self._page(self.boss).items,
            "sees all, deep": lambda: self._page(self.boss, after).items,
            "sees one": lambda: self._page(self.one).items,
        }

    def _page(self, actor: Actor, after: str | None = None, size: int = PAGE) -> Page[Deal]:
        with self.crm.session(actor, write=False) as s:
            return s.query(Deal).where(Deal.stage == "talks").order_by(Deal.amount).page(size, after=after)

    def _cursor(self, actor: Actor, depth: int) -> str | None:
        after, passed = None, 0
        while passed < depth:
            page = self._page(actor, after, 1000)
            if page.next is None:
                break
            after, passed = page.next, passed + 1000
        return after

    def searches(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """LIKE, and an index for what is exact: there is no full-text index yet."""

        def first(*criteria: Any) -> Sequence[Person]:
            with self.crm.session(self.boss, write=False) as s:
                return s.query(Person).where(*criteria).page(PAGE).items

        return {
            "prefix": lambda: first(Person.last_name.startswith("Tanaka77")),
            "substring": lambda: first(Person.last_name.contains("naka77") | Person.email.contains("naka77")),
            "exact": lambda: first(Person.email == "nobody@example.com"),
        }

    def load(self) -> Sequence[Any]:
        """One query."""
        with self.crm.session(self.boss, write=False) as s:
            return s.query(Person).all()

    def close(self) -> None:
        """Close the file."""
        self._held.close()
        self.crm.close()


def _person(row: Row) -> Person:
    return Person(**{**row, "born": date.fromisoformat(row["born"])})
