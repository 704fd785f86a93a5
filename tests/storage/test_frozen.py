"""The revisions we ship: what they make is what the code declares."""

from __future__ import annotations

import pytest

import crm_sales
import crm_service
from crm_core.hooks.registry import Registry
from crm_core.storage.revisions.freeze import missing
from crm_core.storage.revisions.history import frozen, order
from crm_core.storage.revisions.steps import declared
from crm_core.storage.tables import Tables


@pytest.mark.parametrize("name", ["core", "sales", "service"])
def test_frozen_revisions_make_what_is_declared(name: str) -> None:
    registry = Registry([crm_sales.plugin, crm_service.plugin])
    tables = Tables(registry.entities, {e: registry.extensions(e) for e in registry.entities}, registry.links)
    plugin = registry.plugin(name)
    revisions = frozen(plugin.package)
    if not revisions:
        pytest.skip("its schema is not frozen yet")
    assert missing([step for revision in revisions for step in revision.steps], declared(tables, name)) == []


def test_revisions_are_ordered_by_year_and_month() -> None:
    assert sorted(["2027.2", "2026.11", "2026.9"], key=order) == ["2026.9", "2026.11", "2027.2"]
