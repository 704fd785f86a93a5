"""Real deals: the figures known of 8,800 deals of a sales team, and a recomputation in plain SQL for each agent and product [C55]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import crm_sales
from crm_analytics import plugin
from crm_analytics.api import Analytics, Report
from crm_core import CRM, Actor, Money
from crm_core.io import read_mappings
from tests.io.test_maven import IMPORT, MAPPINGS, Teams, brought_in, corrected

FIGURES = ("sales.open_deals", "sales.won_deals", "sales.lost_deals", "sales.won_value", "sales.win_rate", "sales.cycle_time")


@pytest.fixture
def crm(make_crm: Any, test_data: Callable[[str], Path]) -> CRM:
    """The three files, imported as the how-to on import does."""
    folder = test_data("sales/maven_crm_opportunities")
    made: CRM = make_crm(plugins=[crm_sales.plugin, plugin], directory=Teams(folder / "sales_teams.csv"))
    brought_in(made, folder, corrected(read_mappings(MAPPINGS)))
    return made


def plain(crm: CRM, column: str) -> dict[str | None, tuple[Any, ...]]:
    """Open, won and lost deals, what was won and the days it took, in SQL of the database's own, past every lens."""
    day = "julianday({}) - julianday({})" if crm.bound.kind == "sqlite" else "{} - {}"
    days = day.format("closed_on", "opened_on")
    scale = "1e6" if crm.bound.kind == "sqlite" else "1"
    with crm.bound.begin(write=False) as connection:
        rows = connection.exec_driver_sql(
            f"SELECT {column}, sum(CASE WHEN status = 'open' THEN 1 ELSE 0 END), sum(CASE WHEN status = 'won' THEN 1 ELSE 0 END),"
            f" sum(CASE WHEN status = 'lost' THEN 1 ELSE 0 END), sum(CASE WHEN status = 'won' THEN amount ELSE 0 END) / {scale},"
            f" sum(CASE WHEN status = 'won' THEN {days} ELSE 0 END) FROM crm_sales_opportunity GROUP BY {column}"
        )
        return {row[0] and str(row[0]): (*map(int, row[1:6]),) for row in rows}


def as_plain(row: Any) -> tuple[Any, ...]:
    return (*(row[n] for n in FIGURES[:3]), int(row["sales.won_value"].amount), row["sales.cycle_days"])


def test_c55_c57_the_declared_figures_are_those_of_plain_sql_for_whoever_asks(crm: CRM) -> None:
    for by in ("owner", "product", "stage", "account"):
        assert_equal_to_plain_sql(crm, by)
    with crm.session(IMPORT, write=False) as s:
        analytics = s.use(Analytics)
        stages = analytics.run(Report(metrics=["sales.deals"], by=["sales.stage"]))
        assert {r.keys[0]: r["sales.deals"] for r in stages.rows} == {"won": 4238, "lost": 2473, "engaging": 1589, "prospecting": 500}
        lines = analytics.csv(Report(metrics=["sales.won_value"], by=["sales.product"], grain="quarter", fiscal_start=4)).splitlines()
        assert lines[0] == "period,sales.product,currency,sales.won_value"
        assert lines[1].startswith("FY2017-Q4,GTK 500,USD,")
        assert sum(Decimal(line.rpartition(",")[2]) for line in lines[1:]) == 10_005_534
        agents = analytics.run(Report(metrics=["sales.won_value"], by=["sales.owner"]))
    with crm.session(Actor("Dustin Brinkmann", roles={"sales.rep"}), write=False) as s:
        theirs = s.use(Analytics).run(
            Report(metrics=["sales.won_value"], by=["sales.owner"], since=date(2017, 1, 1), until=date(2018, 1, 1))
        )
    known = {r.keys[0]: r["sales.won_value"] for r in agents.rows}
    assert len(theirs.rows) == 5
    assert {r.keys[0]: r["sales.won_value"] for r in theirs.rows}.items() <= known.items()


def assert_equal_to_plain_sql(crm: CRM, by: str) -> None:
    with crm.session(IMPORT, write=False) as s:
        table = s.use(Analytics).run(Report(metrics=[*FIGURES, "sales.cycle_days"], by=[f"sales.{by}"]))
    found = {getattr(r.keys[0], "id", r.keys[0]): as_plain(r) for r in table.rows}
    assert found == plain(crm, by)
    total = table.total
    assert [total[n] for n in FIGURES[:5]] == [1589 + 500, 4238, 2473, Money(10_005_534, "USD"), Decimal("63.15")]
    for name in (*FIGURES[:4], "sales.cycle_days"):
        parts: list[Any] = [row[name] for row in table.rows]
        assert sum(parts[1:], parts[0]) == total[name]
