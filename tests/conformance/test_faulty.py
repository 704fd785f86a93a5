"""Plugins with one fault each: the rule that it breaks says so with the right reason, and no other rule fails."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest

import crm_sales
from crm_core.testing.conformance import RULES, check
from crm_core.testing.databases import SQLiteDatabases
from tests.conformance import faulty

NAMES = [found.name for found in iter_modules(faulty.__path__) if found.name != "words"]
FAULTY = [name for name in NAMES if name not in ("sound", "roundabout")]


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> SQLiteDatabases:
    """Where migrations are tried; PostgreSQL is for the modules."""
    return SQLiteDatabases(tmp_path_factory.mktemp("faulty"))


@pytest.mark.parametrize("name", NAMES)
def test_a_faulty_plugin_breaks_its_rule_and_no_other(name: str, databases: SQLiteDatabases) -> None:
    module: ModuleType = import_module(f"tests.conformance.faulty.{name}")
    beside = [module.neighbour] if hasattr(module, "neighbour") else []
    report = check(module.plugin, others=[crm_sales.plugin, *beside], databases={"sqlite": databases}, batch=30)
    assert {str(o.rule): o.reasons for o in report.failed if o.rule.id != module.BREAKS} == {}
    said = [reason for o in report.failed for reason in o.reasons]
    assert bool(said) == bool(module.BREAKS)
    assert not said or any(module.REASON in each for each in said), said


def test_every_rule_has_a_plugin_that_breaks_it() -> None:
    broken = {import_module(f"tests.conformance.faulty.{name}").BREAKS for name in FAULTY}
    assert len(FAULTY) >= 20
    assert {rule.id for rule in RULES} == broken
