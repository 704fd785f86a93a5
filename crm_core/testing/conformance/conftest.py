"""What the rules are tried on when pytest runs them; the options are in ``options``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_core.testing.conformance.given import databases_here, examples_at, installed, plugin_named
from crm_core.testing.conformance.report import Report
from crm_core.testing.conformance.rule import Outcome
from crm_core.testing.conformance.subject import Subject


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The plugin that ``--plugin`` names; the report is written when all rules were tried."""
    name = request.config.getoption("--plugin")
    if not name:
        pytest.skip("say which plugin: --plugin acme.loyalty")
    plugin = plugin_named(name)
    with databases_here() as (databases, _):
        examples = examples_at(request.config.getoption("--examples"))
        yield Subject(plugin, others=installed(), examples=examples, databases=databases)


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, subject: Subject) -> Iterator[list[Outcome]]:
    """What became of the rules so far; written to ``--quality`` at the end."""
    found: list[Outcome] = []
    yield found
    Report(subject.plugin, found).write(request.config.getoption("--quality"))
