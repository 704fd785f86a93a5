"""The report that the demonstration leaves: what a manager looks at, as far as that manager may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal

from crm_core import CRM, Account, Interaction, Money, Session
from crm_sales.api import ForecastLine, Opportunity, Order, Sales
from crm_service.api import Service, Ticket, TicketStatus

from . import charts
from .company import ACTORS
from .page import Section, Words, listing, page
from .story import Life
from .words import WORDS

Say = Callable[..., str]
BASE = "EUR"
MONTHS = 6


def report(crm: CRM, life: Life, lang: str) -> str:
    """Return the report as one HTML page; sales figures as the manager of sales sees them, service's as service's manager does."""

    def say(word: str, **params: object) -> str:
        return WORDS.text(f"demo.{word}", params, lang)

    with crm.session(ACTORS["ann"], write=False) as sales, crm.session(ACTORS["eve"], write=False) as service:
        now = crm.runtime.clock.now()
        lines = sales.use(Sales).forecast(base=BASE, since=now.date().replace(day=1))
        tiles = list(_tiles(sales, service, lines, say))
        sections = [
            _funnel(sales, say),
            _forecast(lines, say),
            _waterfall(sales, say),
            _sla(service, say),
            _customer(sales, service, life, say),
        ]
        words = Words(say("report_title"), say("report_intro", day=now.date()), say("report_figures"), say("report_footer"))
    return page({"en": "en", "zh": "zh-Hans"}[lang], words, tiles, sections)


def _tiles(sales: Session, service: Session, lines: list[ForecastLine], say: Say) -> Iterator[tuple[str, str]]:
    rate = sales.use(Sales).win_rate()
    yield say("report_expected"), short(Money.sum((line.weighted for line in lines), BASE))
    yield say("report_won"), str(rate.won)
    yield say("report_rate"), f"{rate.percent} %"
    counts = service.use(Service).tickets_by_status()
    yield say("report_tickets"), str(sum(n for status, n in counts.items() if status is not TicketStatus.SOLVED))


def _funnel(sales: Session, say: Say) -> Section:
    steps = sales.use(Sales).funnel()
    first, last = steps[0], steps[-1]
    rows = [charts.Bar(say(f"stage_{f.stage}"), f.deals, f"{f.deals} · {f.percent or 0} %") for f in steps]
    return Section(
        title=say("funnel"),
        says=say("funnel_says", begun=first.deals, won=last.deals),
        chart=charts.bars(say("funnel"), say("funnel_says", begun=first.deals, won=last.deals), rows),
        head=(say("stage"), say("deals"), "%"),
        rows=[(say(f"stage_{f.stage}"), str(f.deals), str(f.percent or 0)) for f in steps],
    )


def _forecast(lines: list[ForecastLine], say: Say) -> Section:
    months: dict[str, list[ForecastLine]] = defaultdict(list)
    for line in lines:
        if line.month:
            months[line.month].append(line)
    figures = [
        (month, Money.sum((x.weighted for x in found), BASE), Money.sum((x.amount for x in found), BASE))
        for month, found in sorted(months.items())[:MONTHS]
    ]
    columns = [charts.Column(month[2:], float(sure.amount), float(all_.amount), short(sure)) for month, sure, all_ in figures]
    says = say("forecast_says", currency=BASE)
    return Section(
        title=say("report_forecast"),
        says=says,
        chart=charts.columns(say("report_forecast"), says, columns),
        head=(say("month"), say("weighted"), say("amount")),
        rows=[(month, grouped(sure), grouped(all_)) for month, sure, all_ in figures],
    )


def _waterfall(sales: Session, say: Say) -> Section:
    now = sales.crm.runtime.clock.now()
    found = sales.use(Sales).waterfall(now - timedelta(days=90), currency=BASE)
    parts = [
        ("begin", found.begin, True),
        ("new", found.new + found.reopened, False),
        ("grown", found.up, False),
        ("shrunk", found.down, False),
        ("won_part", found.won, False),
        ("lost_part", found.lost, False),
        ("end", found.end, True),
    ]
    steps = [charts.Step(say(f"fall_{name}"), float(worth.amount), short(worth), total) for name, worth, total in parts]
    says = say("waterfall_says", begin=grouped(found.begin), end=grouped(found.end))
    return Section(
        title=say("waterfall"),
        says=says,
        chart=charts.waterfall(say("waterfall"), says, steps),
        head=(say("part"), say("amount")),
        rows=[(say(f"fall_{name}"), grouped(worth)) for name, worth, _ in parts],
    )


def _sla(service: Session, say: Say) -> Section:
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    today = service.crm.runtime.clock.now().date()
    for row in service.use(Service).sla_report(date(2026, 1, 1), today):
        counts[row.priority.value, row.metric.value][0] += row.met
        counts[row.priority.value, row.metric.value][1] += row.breached
    rows, figures = [], []
    for (priority, metric), (met, broken) in counts.items():
        percent = 100 * Decimal(met) / (met + broken) if met + broken else Decimal(0)
        label = f"{say(f'priority_{priority}')}: {say(f'metric_{metric}')}"
        rows.append(charts.Bar(label, float(percent), f"{percent:.1f} %", charts.GOOD if percent >= 95 else charts.BAD))
        figures.append((label, str(met), str(broken), f"{percent:.1f}"))
    return Section(
        title=say("sla"),
        says=say("sla_says"),
        chart=charts.bars(say("sla"), say("sla_says"), rows, full=100),
        head=(say("target"), say("met"), say("breached"), "%"),
        rows=figures,
    )


def _customer(sales: Session, service: Session, life: Life, say: Say) -> Section:
    account = sales.get(Account, life.account)
    deals = sales.query(Opportunity).where(Opportunity.account == account.ref).order_by(Opportunity.id).all()
    orders = sales.query(Order).where(Order.account == account.ref).order_by(Order.id).all()
    touches = sales.query(Interaction).where(Interaction.links.has(life.contact)).order_by(Interaction.at.desc()).all()
    tickets = service.query(Ticket).where(Ticket.account == account.ref).order_by(Ticket.id).all()
    promises = service.use(Service).open_promises(account.ref)
    groups = [
        (say("customer_deals"), [f"{d.name}: {grouped(d.amount)}, {say(f'stage_{d.stage}')}" for d in deals]),
        (say("customer_orders"), [f"{o.number}: {grouped(o.total)}" for o in orders if o.total]),
        (say("customer_promises"), [p.what for p in promises]),
        (say("customer_tickets"), [t.subject for t in tickets]),
        (say("customer_touches"), [f"{t.at:%Y-%m-%d} {say(f'channel_{t.channel.value}')}: {t.subject}" for t in touches]),
    ]
    return Section(title=say("customer", name=account.name), says=say("customer_says"), chart=listing(groups))


def short(money: Money) -> str:
    """Return an amount for a chart: thousands and millions, without its currency."""
    amount = money.amount
    for size, unit in ((Decimal(1_000_000), "M"), (Decimal(1_000), "k")):
        if abs(amount) >= size:
            return f"{amount / size:.1f}{unit}"
    return f"{amount:.0f}"


def grouped(money: Money) -> str:
    """Return an amount in full, its digits in groups of three."""
    return f"{money.currency} {money.amount:,.2f}"
