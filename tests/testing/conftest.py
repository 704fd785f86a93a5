"""The kit as a vendor uses it: with sales, and a plugin whose subscriber counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import crm_sales
from crm_core import Plugin


@pytest.fixture(scope="session")
def crm_plugins() -> Sequence[Plugin]:
    from examples.vendor import plugin

    return [crm_sales.plugin, plugin]
