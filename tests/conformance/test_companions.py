"""Companions are tried as plugins are: ours pass every rule beside what they join."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

import crm_erp_bridge
import crm_marketing
import crm_service
from crm_core import Plugin
from crm_core.cli.app import app
from crm_core.testing.conformance import check
from crm_core.testing.conformance.trial import RULES, companions_of
from tests.conformance import paired
from tests.conformance.test_modules import MODULES

OURS = [c for m in (crm_erp_bridge, crm_marketing, crm_service) for c in companions_of(m.plugin, MODULES)]


def test_those_of_ours_are_found_where_their_other_side_is() -> None:
    assert sorted(c.name for c in OURS) == ["erp_bridge.deals", "marketing.first_touch", "service.deals", "service.handover"]
    assert companions_of(crm_service.plugin, []) == []


@pytest.mark.parametrize("companion", OURS, ids=lambda companion: companion.name)
def test_a_companion_of_ours_passes_every_rule(companion: Plugin) -> None:
    report = check(companion, others=MODULES, batch=20)
    assert {str(o.rule): o.reasons for o in report.failed} == {}


def test_crm_plugin_check_tries_a_plugin_and_then_its_companions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_core.testing.conformance.given.installed", lambda: [paired.beside])
    monkeypatch.setattr("crm_core.testing.conformance.given.databases_here", lambda: nullcontext(({}, "migrations are not tried here")))
    quality = tmp_path / "quality.json"
    run = CliRunner().invoke(app, ["plugin", "check", "tests.conformance.paired:plugin", "--quality", str(quality)])
    assert run.exit_code == 1
    assert "acme.paired 1.0.0: 100 of 100" in run.output
    assert "acme.paired.meeting.nobody (meeting.py:17) has no words in 'en'" in run.output
    written = json.loads(quality.read_text(encoding="utf-8"))
    (companion,) = written["companions"]
    assert (written["score"], companion["plugin"], companion["score"] < 100, len(companion["rules"])) == (
        100,
        "acme.paired.meeting",
        True,
        len(RULES),
    )
