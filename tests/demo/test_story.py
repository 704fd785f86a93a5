"""The story of ``crm demo``, on both databases: every number, event and journal row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from crm_core import CRM, Account, Contact, Interaction, Money
from crm_core.testing.databases import Database, Databases
from crm_core.testing.state import state_hash
from crm_demo.command import demo
from crm_demo.company import ACTORS, SETUP, Company
from crm_demo.play import play
from crm_demo.story import STORY, Life, life
from crm_demo.year import year
from crm_sales.api import Lead, Opportunity, Order, OrderStatus, Sales, Status
from crm_service.api import Service, ServiceRequest, Ticket, TicketStatus
from tests.demo.expected import Row, story
from tests.demo.reported import check_report

CENT = Decimal("0.01")

# A module's name stands for its elevated code and its subscribers.
MODULES = ("erp_bridge.", "marketing.", "sales.", "service.")


def journal(crm: CRM) -> list[Row]:
    table = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        rows = connection.execute(select(table.c.actor, table.c.kind, table.c.reason).order_by(table.c.id)).all()
    return [Row(_whose(actor), _short(kind), reason if kind.startswith("core.elevated") else "") for actor, kind, reason in rows]


def _whose(actor: str) -> str:
    return actor.rpartition(":")[2].rpartition(".")[2]


def _short(kind: str) -> str:
    name = kind.removesuffix(".v1")
    return name.partition(".")[2] if name.startswith(MODULES) else name


@pytest.fixture
def company(database: Database, tmp_path: Path) -> Iterator[Company]:
    made = Company(database.url, 7, tmp_path)
    made.crm.migrate()
    yield made
    made.close()


def test_c24_c38_a_lead_becomes_a_customer_a_won_deal_an_order_and_a_request(company: Company) -> None:
    """[C10, C13, C18, C24, C38] One customer's life, in one process."""
    crm = company.crm
    ends: dict[str, int] = {}
    play(company, STORY, lambda step: ends.update({step.name: len(journal(crm))}))
    rows = journal(crm)
    begins = [0, *ends.values()]
    assert {name: rows[begin:end] for begin, (name, end) in zip(begins, ends.items(), strict=False)} == story()
    told = life(company)
    _check_figures(told)
    with crm.session(SETUP, write=False) as s:
        lead = s.query(Lead).one()
        refs = (lead.converted_account, lead.converted_contact, lead.converted_opportunity)
        assert [ref and ref.id for ref in refs] == [told.account, told.contact, told.deal]
        assert s.get(Account, told.account).name == "Acme GmbH"
        assert s.query(Contact).where(Contact.emails.has("carol@acme.example")).one().id == told.contact
        touches = s.query(Interaction).where(Interaction.links.has(told.contact)).all()
        assert sorted(t.channel.value for t in touches) == ["call", "web", "web"]
        deal = s.get(Opportunity, told.deal)
        assert (deal.status, deal.owner, deal.amount) == (Status.WON, "bob", told.net)
        assert s.get(Order, told.order).status is OrderStatus.CONFIRMED
        assert s.get(ServiceRequest, told.request).account == s.get(Account, told.account).ref
        assert s.get(Ticket, told.ticket).status is TicketStatus.SOLVED
    assert crm.run_pending() == 0
    with crm.session(SETUP, write=False) as s:
        assert s.query(ServiceRequest).count() == 1


def _check_figures(told: Life) -> None:
    seats, days = Decimal(100) * 120 * Decimal("0.95"), Decimal(990) * Decimal("0.95")
    taxes = [(net * 19 / 100).quantize(CENT, ROUND_HALF_UP) for net in (seats, days)]
    assert told.net == Money(seats + days, "EUR")
    assert told.tax == Money(sum(taxes, Decimal(0)), "EUR")
    assert told.total == told.net + told.tax
    assert told.touches == 3
    assert told.answered_in == timedelta(minutes=25)
    assert told.promise.startswith("Go live by 1 March")
    assert told.score == 9
    # Two forms led to the deal, of which the campaign's is one; U gives each of two touches half.
    assert (told.roi.revenue, told.roi.cost, told.roi.ratio) == (Money("6170.25", "EUR"), Money(1500, "EUR"), Decimal("3.1135"))
    assert (told.invoiced, told.paid, told.balance) == (told.total, told.total, Money(0, "EUR"))


def test_the_same_seed_gives_the_same_company_and_another_gives_another(databases: Databases, tmp_path: Path) -> None:
    hashes = []
    for number, seed in enumerate((1, 1, 2)):
        database = databases.create()
        company = Company(database.url, seed, tmp_path / str(number))
        company.crm.migrate()
        play(company, [*STORY, *year(2)])
        hashes.append((_without_transactions(company.crm), Counter(journal(company.crm))))
        company.close()
        databases.drop(database)
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def _without_transactions(crm: CRM) -> Any:
    """Hash the state; on PostgreSQL journal rows also hold their transaction's number, which differs from run to run."""
    if crm.bound.kind == "sqlite":
        return state_hash(crm)
    table = crm.tables.system.journal
    columns = [c for c in table.c if c.name not in ("xid", "id")]
    with crm.bound.begin(write=False) as connection:
        return [tuple(map(repr, row)) for row in connection.execute(select(*columns).order_by(table.c.id))]


def test_the_year_adds_up_and_its_report_says_so(company: Company) -> None:
    crm = company.crm
    play(company, [*STORY, *year(15)])
    with crm.session(ACTORS["ann"], write=False) as s:
        sales = s.use(Sales)
        figures, rate = sales.pipeline_by_stage(), sales.win_rate()
        assert sum(f.deals for f in figures) == s.query(Opportunity).count()
        assert (rate.won, rate.lost) == tuple(sum(f.deals for f in figures if f.status is st) for st in (Status.WON, Status.LOST))
        lines = sales.forecast()
        assert sum(line.deals for line in lines) == sum(f.deals for f in figures if f.status is not Status.LOST)
    with crm.session(ACTORS["bob"], write=False) as s:
        mine = s.use(Sales).pipeline_by_stage()
        assert 0 < sum(f.deals for f in mine) < sum(f.deals for f in figures)
    with crm.session(ACTORS["eve"], write=False) as s:
        assert sum(s.use(Service).tickets_by_status().values()) == s.query(Ticket).where(Ticket.status != TicketStatus.CLOSED).count()
    check_report(company, life(company))


def test_the_command_plays_it_and_never_overwrites_a_file_without_force(tmp_path: Path) -> None:
    db = tmp_path / "shop.db"
    run = CliRunner()
    first = run.invoke(demo, ["--days", "3", "--db", str(db)])
    assert first.exit_code == 0, first.output
    for words in (
        "Carol Chen",
        "EUR 14685.20",
        "Go live by 1 March",
        "Pipeline by stage",
        "Forecast in EUR",
        "Promised times kept",
        "next",
    ):
        assert words in first.output
    html = db.with_suffix(".html").read_text(encoding="utf-8")
    assert html.count("<svg") == 6
    content = db.read_bytes()
    again = run.invoke(demo, ["--days", "3", "--db", str(db)])
    assert again.exit_code == 1
    assert "--force" in again.output
    assert db.read_bytes() == content
    forced = run.invoke(demo, ["--days", "3", "--db", str(db), "--force", "--lang", "zh"])
    assert forced.exit_code == 0, forced.output
    assert "一个客户的旅程" in forced.output
    assert "销售漏斗" in db.with_suffix(".html").read_text(encoding="utf-8")


def test_a_report_that_is_there_is_not_overwritten_either(tmp_path: Path) -> None:
    report = tmp_path / "shop.html"
    report.write_text("mine")
    done = CliRunner().invoke(demo, ["--days", "1", "--db", str(tmp_path / "shop.db")])
    assert done.exit_code == 1
    assert "shop.html" in done.output
    assert report.read_text() == "mine"
