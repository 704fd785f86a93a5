"""The options of the conformance kit, a plugin of pytest.

An entry point loads it in every run of pytest, before coverage is measured: neither this module nor its package imports the core.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--plugin`` and its kin."""
    group = parser.getgroup("crm", "the conformance kit of crm-core")
    group.addoption("--plugin", metavar="NAME", help="The plugin to try: its name, or package.module:name.")
    group.addoption("--examples", metavar="FILE", help="Where its examples are [tests/conformance.py, if it is there].")
    group.addoption("--quality", metavar="FILE", default="quality.json", help="Where the report goes [quality.json].")
