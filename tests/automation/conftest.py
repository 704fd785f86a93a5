"""An office on either database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crm_core import CRM, FixedClock, Runtime
from tests.automation.office import ROLES, START, Office, plugin

MakeOffice = Callable[..., Office]


@pytest.fixture
def make_office(make_crm: Callable[..., CRM]) -> MakeOffice:
    """Make an office; options are those of CRM."""

    def make(**options: Any) -> Office:
        clock = FixedClock(START)
        crm = make_crm(**{"plugins": [plugin], "roles": ROLES, "runtime": Runtime.seeded(1, clock=clock), **options})
        return Office(crm, clock)

    return make


@pytest.fixture
def office(make_office: MakeOffice) -> Office:
    """An office without a directory."""
    return make_office()
