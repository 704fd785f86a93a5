"""SLA attainment, whose facts are computed and not stored, reported like any other figure [C40, C55]."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

import crm_service
from crm_analytics import plugin
from crm_analytics.api import Analytics, Report
from crm_core import Invalid
from crm_core.rules import F
from tests.service.conftest import AGENT, Desk, MakeDesk, make_desk  # noqa: F401  # a fixture
from tests.service.test_reports import life

FIGURES = ("service.targets_kept", "service.targets_broken", "service.sla_attainment")


@pytest.fixture
def lived(make_desk: MakeDesk) -> Desk:  # noqa: F811  # the fixture
    """Two targets kept, three broken, one that runs."""
    desk = make_desk(plugins=[crm_service.plugin, plugin])
    life(desk)
    return desk


def test_c40_attainment_by_priority_and_month_is_that_of_the_service_s_own_report(lived: Desk) -> None:
    with lived.crm.session(AGENT, write=False) as s:
        table = s.use(Analytics).run(Report(metrics=FIGURES, by=["service.priority", "service.target"], grain="month"))
        assert s.use(Analytics).run(Report(metrics=FIGURES, until=date(2026, 3, 1))).total["service.sla_attainment"] is None
        tickets = s.use(Analytics).run(Report(metrics=["service.tickets", "service.solved_tickets"], by=["service.ticket_priority"]))
    assert [(r.period and r.period.label, *map(table.shown, r.keys), *(r[n] for n in FIGURES)) for r in table.rows] == [
        ("2026-03", "normal", "resolution", 2, 2, Decimal("50.00")),
        ("2026-03", "urgent", "resolution", 0, 1, Decimal("0.00")),
    ]
    assert table.total["service.sla_attainment"] == Decimal("40.00")
    assert [tuple(r.figures.values()) for r in tickets.rows] == [(5, 3), (1, 1)]


def test_c55_what_is_computed_is_neither_filtered_nor_grouped_by_columns(lived: Desk) -> None:
    with lived.crm.session(AGENT, write=False) as s:
        for report, code in (
            (Report(metrics=FIGURES, where=F("priority") == "normal"), "analytics.no_filter"),
            (Report(metrics=FIGURES, by=["service.owner"]), "analytics.foreign_dimension"),
            (Report(metrics=["service.tickets"], by=["service.target"]), "analytics.foreign_dimension"),
        ):
            with pytest.raises(Invalid) as caught:
                s.use(Analytics).run(report)
            assert caught.value.code == code
