"""A CRM that sells, on each database."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core import CRM, Runtime
from tests.sales.desk import PLAIN, PLUGIN, START, Desk


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    """Sales without a base currency, leads in turn to A, B, C, D."""
    made: CRM = make_crm(plugins=[PLAIN], directory=Desk(), runtime=Runtime.seeded(7, start=START))
    return made


@pytest.fixture
def brl(make_crm: Any) -> CRM:
    """The same in a company that reports in BRL."""
    made: CRM = make_crm(plugins=[PLUGIN], directory=Desk(), runtime=Runtime.seeded(7, start=START))
    return made
