"""Real data: three files of a sales team, 8,800 deals, with their gaps and misspellings, give the figures that are known of them [C67]."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

import crm_sales
from crm_core import Account, Actor, Money, User
from crm_core.io import Importer, Mapping, Report, open_rows, read_mappings
from crm_core.testing.state import state_hash
from crm_sales.api import Opportunity, Product, Sales, Status

MAPPINGS = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "maven.toml"
IMPORT = Actor.system("import", tenant="main")
Row = dict[str, str]


class Teams:
    """The host's users: agents, their managers and regions, as the teams' file lists them."""

    def __init__(self, path: Path) -> None:
        with open_rows(path) as rows:
            listed = [dict(zip(rows.columns, row.cells, strict=True)) for row in rows]
        agents = [User(r["sales_agent"], r["sales_agent"], manager=r["manager"], teams={r["regional_office"]}) for r in listed]
        self.managers = sorted({r["manager"] for r in listed})
        self._users = [*agents, *(User(m, m) for m in self.managers)]

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        return [u for u in self._users if ids is None or u.id in ids]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None

    def agents_of(self, manager: str) -> set[str]:
        return {u.id for u in self._users if u.manager == manager}


@pytest.fixture
def folder(test_data: Callable[[str], Path]) -> Path:
    return test_data("sales/maven_crm_opportunities")


@pytest.fixture
def deals(folder: Path) -> list[Row]:
    """The deals as the file has them, read by the standard library."""
    with (folder / "sales_pipeline.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def corrected(mappings: list[Mapping]) -> list[Mapping]:
    """Take the report's advice: ``GTXPro`` stands for ``GTX Pro``."""
    *others, deals = mappings
    product = attrs.evolve(deals.fields["product"], values={"GTXPro": "GTX Pro"})
    return [*others, attrs.evolve(deals, fields={**deals.fields, "product": product})]


def brought_in(crm: Any, folder: Path, mappings: list[Mapping]) -> dict[str, Report]:
    return {m.path: Importer(crm, IMPORT, m).run(folder / m.path) for m in mappings}


def recomputed(deals: list[Row], column: str) -> dict[str, tuple[int, int, int, int]]:
    """Open, won, lost and the value won, by what a column says."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in deals:
        key = row[column].replace("GTXPro", "GTX Pro")
        counts[key][row["deal_stage"]] += 1
        counts[key]["value"] += int(row["close_value"] or 0) if row["deal_stage"] == "Won" else 0
    return {k: (c["Engaging"] + c["Prospecting"], c["Won"], c["Lost"], c["value"]) for k, c in counts.items()}


def as_tuples(figures: Iterable[Any]) -> dict[str, tuple[int, int, int, int]]:
    zero = Money(0, "USD")
    return {f.key: (f.open, f.rate.won, f.rate.lost, int(f.won_amounts.get("USD", zero).amount)) for f in figures}


def test_the_reports_say_what_is_known_of_the_set_and_a_second_import_changes_nothing(
    make_crm: Any, folder: Path, deals: list[Row]
) -> None:
    teams = Teams(folder / "sales_teams.csv")
    crm = make_crm(plugins=[crm_sales.plugin], directory=teams)
    mappings = read_mappings(MAPPINGS)

    first = brought_in(crm, folder, mappings)
    pipeline = first["sales_pipeline.csv"]
    assert {p: (r.rows, r.created, r.failed, r.unmapped) for p, r in first.items()} == {
        "accounts.csv": (85, 85, 0, []),
        "products.csv": (7, 7, 0, []),
        "sales_pipeline.csv": (8800, 8800, 0, []),
    }
    assert [(u.field, u.value, u.proposal, u.rows) for u in pipeline.unknown] == [("product", "GTXPro", "GTX Pro", 1480)]
    assert pipeline.empty == {"account": 1425, "product": 1480}
    with crm.session(IMPORT, write=False) as s:
        sales = s.use(Sales)
        stages = {f.stage: (f.deals, f.amount) for f in sales.pipeline_by_stage()}
        assert {k: n for k, (n, _) in stages.items()} == {"won": 4238, "lost": 2473, "engaging": 1589, "prospecting": 500}
        assert stages["won"][1] == Money(10_005_534, "USD")
        assert sales.win_rate().percent == Decimal("63.15")
        assert s.query(Opportunity).where(Opportunity.account.is_(None)).count() == 1425
        assert as_tuples(sales.performance_by_owner()) == recomputed(deals, "sales_agent")

    second = brought_in(crm, folder, corrected(mappings))
    assert {p: (r.created, r.updated, r.unchanged, r.failed) for p, r in second.items()} == {
        "accounts.csv": (0, 0, 85, 0),
        "products.csv": (0, 0, 7, 0),
        "sales_pipeline.csv": (0, 1480, 7320, 0),
    }
    with crm.session(IMPORT, write=False) as s:
        assert as_tuples(s.use(Sales).performance_by_product()) == recomputed(deals, "product")

    before = state_hash(crm)
    third = brought_in(crm, folder, corrected(mappings))
    assert [(r.created, r.updated, r.failed) for r in third.values()] == [(0, 0, 0)] * 3
    assert state_hash(crm) == before

    with crm.bound.begin() as connection:
        connection.exec_driver_sql("ANALYZE")  # as PostgreSQL does by itself within a minute
    for manager in teams.managers:
        with crm.session(Actor(manager, roles={"sales.rep"}), write=False) as s:
            theirs = [d for d in deals if d["sales_agent"] in teams.agents_of(manager)]
            assert as_tuples(s.use(Sales).performance_by_owner()) == recomputed(theirs, "sales_agent")

    with crm.session(IMPORT, write=False) as s:
        assert_each_row_is_there(s, deals)


def assert_each_row_is_there(s: Any, deals: list[Row]) -> None:
    accounts = {a.id: a.name for a in s.query(Account).all()}
    products = {p.id: p.name for p in s.query(Product).all()}
    stages = {Status.WON: "Won", Status.LOST: "Lost"}

    def row(deal: Any) -> Row:
        stage = stages.get(deal.status, deal.stage.capitalize())
        value = "" if deal.status is Status.OPEN else str(int(deal.amount.amount))
        return {
            "opportunity_id": deal.external_ref.removeprefix("maven:"),
            "sales_agent": deal.owner,
            "product": products[deal.product.id],
            "account": accounts[deal.account.id] if deal.account else "",
            "deal_stage": stage,
            "engage_date": deal.opened_on.isoformat() if deal.opened_on else "",
            "close_date": deal.closed_at.date().isoformat() if deal.closed_at else "",
            "close_value": value,
        }

    found = {r["opportunity_id"]: r for r in map(row, s.query(Opportunity).all())}
    assert [found[d["opportunity_id"]] for d in deals] == [{**d, "product": d["product"].replace("GTXPro", "GTX Pro")} for d in deals]


def test_the_traps_of_the_accounts_are_put_right_by_the_mapping(make_crm: Any, folder: Path) -> None:
    crm = make_crm(plugins=[crm_sales.plugin])
    accounts = read_mappings(MAPPINGS)[0]
    report = Importer(crm, IMPORT, accounts).run(folder / accounts.path)
    assert (report.created, report.empty) == (85, {"parent": 70})
    with crm.session(IMPORT, write=False) as s:
        found = s.query(Account).preload(Account.parent).all()
        assert {a.industry for a in found} == {
            *("employment", "entertainment", "finance", "marketing", "medical", "retail", "services", "software", "technology"),
            "telecommunications",
        }
        assert {(a.addresses[0].region, a.addresses[0].country) for a in found} >= {("Philippines", "PH"), ("United States", "US")}
        assert sum(s.related(a, Account.parent) is not None for a in found) == 15
