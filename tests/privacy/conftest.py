"""A CRM with the five modules, on each database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import Actor

MODULES = [crm_sales.plugin, crm_service.plugin, crm_marketing.plugin, crm_analytics.plugin, crm_erp_bridge.plugin]


@pytest.fixture
def crm(make_crm: Callable[..., Any]) -> Any:
    return make_crm(plugins=MODULES)


@pytest.fixture
def officer() -> Actor:
    return Actor.system("privacy", tenant="main")
