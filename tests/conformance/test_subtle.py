"""Each rule once more, broken in another way than by its seeded plugin: what a rule sees is the kind of fault and not the one example."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest
from sqlalchemy import Engine, event

import crm_sales
from crm_core import Money
from crm_core.testing.conformance import RULES, check
from crm_core.testing.databases import SQLiteDatabases
from tests.conformance import subtle
from tests.conformance.subtle import listening

NAMES = [found.name for found in iter_modules(subtle.__path__)]


@pytest.fixture(autouse=True)
def the_process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what three of the plugins do to the whole process."""
    monkeypatch.setattr(Money, "__str__", Money.__str__)
    yield
    os.environ.pop("ACME_SURROUNDING", None)
    if event.contains(Engine, "connect", listening.count):
        event.remove(Engine, "connect", listening.count)


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_sees_another_fault_of_its_kind(name: str, sqlite_databases: SQLiteDatabases) -> None:
    module = import_module(f"tests.conformance.subtle.{name}")
    (rule,) = (each for each in RULES if each.id == module.BREAKS)
    report = check(module.plugin, others=[crm_sales.plugin], databases={"sqlite": sqlite_databases}, batch=30, rules=[rule])
    said = [reason for outcome in report.failed for reason in outcome.reasons]
    assert any(module.REASON in each for each in said), said


def test_every_rule_is_broken_once_more() -> None:
    assert {import_module(f"tests.conformance.subtle.{name}").BREAKS for name in NAMES} == {rule.id for rule in RULES}
