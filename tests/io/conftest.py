"""The CRM of deals, and how a test brings rows into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_core import (
    Actor,
)
from crm_core.io import Importer, Report, mapping_of
from tests.io.deals import DEALS, IMPORT, MOVER, REP, Import, People, plugin


@pytest.fixture
def crm(make_crm: Any) -> Any:
    return make_crm(plugins=[plugin], roles=[REP, MOVER], directory=People())


@pytest.fixture
def bring(crm: Any, tmp_path: Path) -> Import:
    def bring(content: str, mapping: dict[str, Any] = DEALS, entity: str = "deals", actor: Actor = IMPORT, **options: Any) -> Report:
        path = tmp_path / "rows.csv"
        path.write_text(content, encoding="utf-8")
        report = Importer(crm, actor, mapping_of(mapping), entity=entity).run(path, **options)
        assert report.rows == report.created + report.updated + report.unchanged + report.failed + report.blank
        return report

    return bring
