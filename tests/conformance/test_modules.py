"""Our five modules pass every rule, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import Plugin
from crm_core.testing.conformance import check
from crm_core.testing.databases import Databases, PostgresDatabases, SQLiteDatabases

MODULES = [m.plugin for m in (crm_analytics, crm_erp_bridge, crm_marketing, crm_sales, crm_service)]


@pytest.mark.parametrize("plugin", MODULES, ids=lambda plugin: plugin.name)
def test_a_module_of_ours_passes_every_rule(
    plugin: Plugin, sqlite_databases: SQLiteDatabases, postgres_databases: PostgresDatabases, tmp_path: Path
) -> None:
    databases: dict[str, Databases] = {"sqlite": sqlite_databases, "postgresql": postgres_databases}
    report = check(plugin, others=MODULES, databases=databases, batch=50)
    print(*report.lines(), sep="\n")  # with what a batch of each entity costs
    assert {str(o.rule): o.reasons for o in report.outcomes if o.outcome != "passed"} == {}
    report.write(tmp_path / "quality.json")
    written = json.loads((tmp_path / "quality.json").read_text(encoding="utf-8"))
    assert (written["plugin"], written["score"], len(written["rules"])) == (plugin.name, 100, 19)
    assert [r["notes"] for r in written["rules"] if r["rule"] == "CK07 migrates"] == [["databases: sqlite, postgresql"]]
