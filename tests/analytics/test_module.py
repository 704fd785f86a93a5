"""The module as a whole: its words, and its figures. What holds for every module: tests/test_modules.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_analytics import plugin
from crm_analytics.api import Analytics, Report
from crm_analytics.messages import _EN
from crm_core import Actor

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "analytics.md").read_text(encoding="utf-8")
SOURCES = "\n".join(p.read_text(encoding="utf-8") for p in Path(crm_analytics.__file__).parent.glob("*.py"))


def test_everything_a_report_has_is_in_the_how_to() -> None:
    assert {f.name for f in attrs.fields(Report) if f"`{f.name}`" not in HOW_TO} == set()


def test_every_code_that_the_module_raises_has_its_words() -> None:
    raised = set(re.findall(r'(?:refuse\(\w+, |Invalid\(|MixedCurrency\(|_found\([^"]+|label=)"(analytics\.[\w.]+)"', SOURCES))
    assert len(raised) > 10
    assert raised - set(_EN) == set()


def test_c57_every_figure_that_a_plugin_declares_has_a_formula_and_labels_in_both_languages(make_crm: Any) -> None:
    crm = make_crm(plugins=[crm_sales.plugin, crm_service.plugin, plugin])
    with crm.session(Actor("1", locale="zh_CN"), write=False) as s:
        chinese = {d.name: d for d in s.use(Analytics).catalogue()}
        english = {d.name: d for d in s.use(Analytics).catalogue("en")}
    assert len(english) > 15
    assert all(d.formula and d.unit for d in english.values())
    labelled = [(english[n].label, chinese[n].label) for n in english]
    assert [pair for pair in labelled if "." in pair[0] or not re.search("[\u4e00-\u9fff]", pair[1])] == []
    labels = {d.label for d in crm.registry.dimensions}
    assert [one for one in labels if not re.search("[\u4e00-\u9fff]", crm.messages.text(one, {}, "zh"))] == []
    rate = english["sales.win_rate"]
    assert (rate.additive, rate.of, rate.better) == (False, ("sales.won_deals", "sales.lost_deals"), "higher")
    won = english["sales.won_value"]
    assert (won.additive, won.grain, won.unit, "sales.owner" in won.dimensions) == (True, "Opportunity.closed_on", "money", True)
    assert english["service.targets_broken"].dimensions == ("service.priority", "service.target")


FIGURES = {
    # figure: unit, whether its parts add up, what dates it
    "sales.open_value": ("money", True, "Opportunity.expected_close"),  # the pipeline, by stage
    "sales.weighted_value": ("money", True, "Opportunity.expected_close"),  # the weighted forecast
    "sales.win_rate": ("%", False, None),
    "sales.cycle_time": ("days", False, None),
    "sales.velocity": ("money", False, None),
    "marketing.campaign_cost": ("money", True, "CampaignCost.day"),
    "marketing.attributed_revenue": ("money", True, "Opportunity.closed_at"),
    "marketing.campaign_roi": ("%", False, None),
    "service.targets_kept": ("targets", True, "Ticket.created_at"),
    "service.sla_attainment": ("%", False, None),
    "erp_bridge.ordered_value": ("money", True, "Order.ordered_on"),
    "erp_bridge.purchase_total": ("money", False, None),
}


def test_c57_the_figures_of_all_modules_say_their_unit_their_grain_and_whether_they_add_up(make_crm: Any) -> None:
    crm = make_crm(plugins=[crm_erp_bridge.plugin, crm_marketing.plugin, crm_sales.plugin, crm_service.plugin, plugin])
    with crm.session(Actor("1"), write=False) as s:
        known = {d.name: d for d in s.use(Analytics).catalogue()}
    assert {n: (known[n].unit, known[n].additive, known[n].grain) for n in FIGURES} == FIGURES
    assert [d.name for d in known.values() if not (d.label and d.unit and d.formula and d.dimensions)] == []
    assert [d.name for d in known.values() if d.additive and not d.grain] == []
    assert "sales.stage" in known["sales.open_value"].dimensions
    assert known["marketing.campaign_roi"].dimensions == ("marketing.campaign", "marketing.channel")
    assert "erp_bridge.account" in known["erp_bridge.purchase_total"].dimensions
