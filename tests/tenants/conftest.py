"""The fixtures of the tenants: a CRM with the plugin of ``world``."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core import FixedClock, Plugin, Runtime
from tests.conftest import MakeCRM
from tests.tenants.world import START, Open, World, maps


@pytest.fixture
def open_world(make_crm: MakeCRM) -> Open:
    """Open a CRM with the plugin, and others beside it."""

    def world(*, beside: list[Plugin] | None = None, **options: Any) -> World:
        clock, heard = FixedClock(START), list[str]()
        crm = make_crm(plugins=[maps(heard), *(beside or [])], runtime=Runtime.seeded(1, clock=clock), **options)
        crm.run_pending()
        return World(crm, clock, heard)

    return world


@pytest.fixture
def w(open_world: Open) -> World:
    return open_world()
