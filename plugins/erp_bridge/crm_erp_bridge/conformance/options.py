"""The option that says which connector is tried."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--connector``."""
    parser.addoption("--connector", metavar="MODULE:NAME", help="A Subject: the connector to try, and the ERP behind it.")


@pytest.fixture
def connector_option(request: pytest.FixtureRequest) -> Any:
    """What ``--connector`` names."""
    given = request.config.getoption("--connector")
    if not given:
        pytest.skip("say which connector: --connector=package.module:Subject")
    module, _, name = given.partition(":")
    return getattr(import_module(module), name)
