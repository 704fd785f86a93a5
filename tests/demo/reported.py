"""The report of the demonstration, held against the modules: each figure comes by another way than the report's own."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import attrs

from crm_analytics.api import Analytics, Report
from crm_core import Money
from crm_demo.company import ACTORS, SETUP, Company
from crm_demo.report import report
from crm_demo.story import Life
from crm_sales.api import Opportunity, Sales, Status

TITLES = [
    "How far deals came", "Forecast by month", "The pipeline in 90 days", "Promised times kept", "Who comes back",
    "What the campaign brought", "One customer: Acme GmbH",
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"
# What makes a browser ask for something.
ASKS = re.compile(r"<script|<link|<img|<iframe|src=|href=|url[(]|@import|https?:")


@attrs.frozen
class Card:
    """A section of the page."""

    title: str
    charts: list[ElementTree.Element]
    rows: list[list[str]]
    items: list[str]


def cards(html: str) -> list[Card]:
    """Read the sections."""
    found = [ElementTree.fromstring(text) for text in re.findall("<section>.*?</section>", html)]
    return [
        Card(
            section.findtext("h2") or "",
            section.findall(f"{SVG}svg"),
            [[cell.text or "" for cell in row] for row in section.findall(".//tbody/tr")],
            [item.text or "" for item in section.iter("li")],
        )
        for section in found
    ]


def check_report(company: Company, told: Life) -> None:
    """Check what the page says, in English, and that it says the same in Chinese."""
    html, chinese = report(company.crm, told, "en"), report(company.crm, told, "zh")
    for page, lang in ((html, "en"), (chinese, "zh-Hans")):
        assert page.startswith(f'<!doctype html><html lang="{lang}">')
        assert ASKS.findall(page.replace("http://www.w3.org/2000/svg", "")) == []
    funnel, forecast, waterfall, sla, cohorts, campaign, customer = found = cards(html)
    assert [card.title for card in found] == TITLES
    for card in found[:-1]:
        (chart,) = card.charts
        assert (chart.get("role"), (chart.get("aria-label") or "").startswith(f"{card.title}. ")) == ("img", True)
    for card, same in zip(found, cards(chinese), strict=True):
        assert [row[1:] for row in card.rows] == [row[1:] for row in same.rows]
        assert (len(card.charts), len(card.items)) == (len(same.charts), len(same.items))
        assert card.title != same.title
    _check_sales(company, funnel, forecast, waterfall)
    _check_service(company, sla)
    assert sum(int(row[1]) for row in cohorts.rows) == _customers(company)
    assert campaign.rows[0] == ["First touch", "EUR 12,340.50", "7.2270"]
    assert campaign.rows[3] == ["U-shaped", "EUR 6,170.25", "3.1135"]
    for item in (
        "2026-01-05 search, cpc", "O-00001: EUR 14,685.20", "To be paid: EUR 0.00", "Go live by 1 March, with training on site",
        "9: Quick and clear.", "2026-01-05 Web: 100 seats, please", "2026-01-05 Call: First call",
    ):  # fmt: skip
        assert item in customer.items


def _check_sales(company: Company, funnel: Card, forecast: Card, waterfall: Card) -> None:
    with company.session("ann") as s:
        deals = s.query(Opportunity).all()
        won = sum(deal.status is Status.WON for deal in deals)
        figures = ["sales.open_value", "sales.won_value"]
        total: Any = s.use(Analytics).run(Report(metrics=figures, currency="EUR", rates="today")).total
        months = [line.month for line in s.use(Sales).forecast(base="EUR", since=date(2026, 1, 1)) if line.month]
    assert (funnel.rows[0][1], funnel.rows[-1][1]) == (str(len(deals)), str(won))
    counts = [int(row[1]) for row in funnel.rows]
    assert counts == sorted(counts, reverse=True), "who came further came this far too"
    assert [row[0] for row in forecast.rows] == sorted(set(months))[:6]
    assert sum((amount(row[2]) for row in forecast.rows), Decimal(0)) == (total["sales.open_value"] + total["sales.won_value"]).amount
    begin, *parts, end = (amount(row[1]) for row in waterfall.rows)
    assert begin + sum(parts) == end == total["sales.open_value"].amount
    assert -parts[3] == total["sales.won_value"].amount


def _check_service(company: Company, sla: Card) -> None:
    names = ["service.targets_kept", "service.targets_broken"]
    with company.crm.session(SETUP, write=False) as s:
        total = s.use(Analytics).run(Report(metrics=names)).total
    assert [sum(int(row[n]) for row in sla.rows) for n in (1, 2)] == [total[name] for name in names]


def _customers(company: Company) -> int:
    with company.crm.session(ACTORS["ann"], write=False) as s:
        return len({deal.account for deal in s.query(Opportunity).where(Opportunity.status == Status.WON).all()})


def amount(cell: str) -> Decimal:
    """Read an amount in euros."""
    return Money(cell.removeprefix("EUR ").replace(",", ""), "EUR").amount
