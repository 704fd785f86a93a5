"""The rules, on the connector that ``--connector`` names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crm_erp_bridge.conformance.rules import Rules
from crm_erp_bridge.conformance.subject import Subject


class TestConnector(Rules):
    """All rules."""

    @pytest.fixture
    def subject(self, connector_option: Any) -> Iterator[Subject]:
        """A fresh ERP for each rule."""
        made: Subject = connector_option()
        yield made
        made.close()
