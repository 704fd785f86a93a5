"""What the tests of jobs share: a plugin with a log, a clock that stands still, and a CRM that is migrated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from crm_core import CRM, Account, Actor, FixedClock, Plugin, Runtime
from tests.conftest import MakeCRM

START = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


@attrs.frozen
class World:
    """A CRM with a standing clock."""

    crm: CRM
    clock: FixedClock

    def later(self, **delta: float) -> int:
        """Let time pass, and run what is due."""
        self.clock.advance(timedelta(**delta))
        return self.crm.run_pending()

    def account(self, name: str, tenant: str = "main") -> Account:
        """Create an account."""
        with self.crm.session(Actor.system("test", tenant=tenant)) as s:
            return s.create(Account(name=name))

    def names(self, tenant: str = "main") -> list[str]:
        """Return the accounts' names."""
        with self.crm.session(Actor.system("test", tenant=tenant), write=False) as s:
            return [a.name for a in s.query(Account).order_by(Account.name).all()]


@pytest.fixture
def plugin() -> Plugin:
    made = Plugin("acme", version="1.0")
    made.grants("account:read,create,update")
    return made


Open = Callable[..., World]


@pytest.fixture
def open_world(make_crm: MakeCRM, plugin: Plugin) -> Open:
    """Open a CRM with the plugin as it is by then."""
    seeds = iter(range(100))

    def world(**options: Any) -> World:
        clock = FixedClock(START)
        crm = make_crm(plugins=[plugin], runtime=Runtime.seeded(next(seeds), clock=clock), **options)
        crm.run_pending()
        return World(crm, clock)

    return world
