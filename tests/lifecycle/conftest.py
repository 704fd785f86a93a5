"""A CRM with the club, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from crm_core import CRM, Account, Email, FixedClock, Runtime
from crm_core.testing.databases import KINDS
from tests.conftest import MakeCRM
from tests.figures import LONG
from tests.lifecycle.club import Member, club, system, visits

one = pytest.mark.parametrize("databases", KINDS if LONG else ["sqlite"], indirect=True)
"""For what no database does otherwise: on SQLite alone, and on both in the long form."""

START = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


@attrs.frozen
class World:
    """A CRM, what the plugin's functions did in it, and others on its database."""

    crm: CRM
    clock: FixedClock
    done: list[str]
    opened: list[CRM]

    def beside(self, *plugins: Any) -> CRM:
        """Open another CRM on the same database, as another process does."""
        crm = CRM(self.crm.url, plugins=plugins, runtime=Runtime.seeded(2 + len(self.opened), clock=self.clock))
        self.opened.append(crm)
        return crm

    def account(self, name: str, tenant: str = "main", crm: CRM | None = None) -> Account:
        """Create an account."""
        with (crm or self.crm).session(system(tenant)) as s:
            return s.create(Account(name=name))

    def member(self, account: Account, number: str, tenant: str = "main") -> Member:
        """Create a member."""
        with self.crm.session(system(tenant)) as s:
            return s.create(Member(account=account.ref, number=number, mails=[Email(f"{number}@acme.test")]))


Open = Callable[..., World]


@pytest.fixture
def open_world(make_crm: MakeCRM) -> Any:
    """Open a CRM with the club."""
    worlds: list[World] = []

    def world(*, beside: bool = False, **options: Any) -> World:
        clock, done = FixedClock(START), list[str]()
        plugins = [club(done), *([visits()] if beside else [])]
        worlds.append(World(make_crm(plugins=plugins, runtime=Runtime.seeded(1, clock=clock), **options), clock, done, []))
        return worlds[-1]

    yield world
    for each in worlds:
        for crm in each.opened:
            crm.close()


@pytest.fixture
def w(open_world: Open) -> World:
    return open_world()
