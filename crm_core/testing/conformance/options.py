"""The options of the conformance kit: a plugin of pytest, which an entry point loads in every run, so it imports nothing of the CRM."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--plugin`` and its kin."""
    group = parser.getgroup("crm", "the conformance kit of crm-core")
    group.addoption("--plugin", metavar="NAME", help="The plugin to try: its name, or package.module:name.")
    group.addoption("--examples", metavar="FILE", help="Where its examples are [tests/conformance.py, if it is there].")
    group.addoption("--quality", metavar="FILE", default="quality.json", help="Where the report goes [quality.json].")
