"""The report that the demonstration leaves: what a manager looks at, as far as that manager may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from crm_analytics.api import Analytics
from crm_core import CRM, Contact, Money, Session
from crm_marketing.api import AttributionModel, Marketing
from crm_sales.api import ForecastLine, Sales
from crm_service.api import Method, Service, Survey, TicketStatus

from . import charts
from .company import ACTORS, START
from .page import Section, Words, listing, page
from .story import SURVEY, Life
from .words import WORDS

Say = Callable[..., str]
BASE = "EUR"
MONTHS = 6
COHORTS = 12


def report(crm: CRM, told: Life, lang: str) -> str:
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
            _cohorts(sales, say),
            _campaign(sales, told, say),
            _customer(sales, told, say),
        ]
        words = Words(say("report_title"), say("report_intro", day=now.date()), say("report_figures"), say("report_footer"))
    return page({"en": "en", "zh": "zh-Hans"}[lang], words, tiles, sections)


def _tiles(sales: Session, service: Session, lines: list[ForecastLine], say: Say) -> Iterator[tuple[str, str]]:
    rate = sales.use(Sales).win_rate()
    yield say("report_expected"), short(Money.sum((line.weighted for line in lines), BASE))
    yield say("report_won"), str(rate.won)
    yield say("report_rate"), f"{rate.percent} %"
    survey = service.query(Survey).where(Survey.name == SURVEY).one()
    months = service.use(Service).survey_report(survey, START.date(), service.crm.runtime.clock.now().date(), method=Method.NPS)
    last = next((m.score for m in reversed(months) if m.score.n), None)
    if last is not None:
        yield say("report_nps"), f"{last.value} (n = {last.n})"
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
    steps = [charts.Step(say(f"fall_{name}"), float(worth.amount), short(worth), total, name == "won_part") for name, worth, total in parts]
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


def _cohorts(sales: Session, say: Say) -> Section:
    """Show whom of each month's new customers the company won again later."""
    found = sales.use(Analytics).cohorts("month")[-COHORTS:]
    longest = max((len(c.active) for c in found), default=0)
    values = [[float(c.retention(n)) if n < len(c.active) else None for n in range(longest)] for c in found]
    names = [f"{c.period.label[2:]} ({c.size})" for c in found]
    heads = [str(n) for n in range(longest)]
    rows = [(c.period.label, str(c.size), *(str(n) for n in c.active[1:]), *[""] * (longest - len(c.active))) for c in found]
    return Section(
        title=say("cohorts"),
        says=say("cohorts_says"),
        chart=charts.heatmap(say("cohorts"), say("cohorts_says"), names, heads, values),
        head=(say("month"), *heads),
        rows=rows,
    )


def _campaign(sales: Session, told: Life, say: Say) -> Section:
    """Show what the campaign brought, by each model: they differ, so the report names them."""
    marketing = sales.use(Marketing)
    returns = [(model, marketing.roi(told.roi.campaign, model)) for model in AttributionModel]
    rows = [charts.Bar(say(f"model_{model.value}"), float(roi.revenue.amount), short(roi.revenue), charts.GOOD) for model, roi in returns]
    says = say("campaign_says", cost=grouped(told.roi.cost))
    return Section(
        title=say("campaign"),
        says=says,
        chart=charts.bars(say("campaign"), says, rows),
        head=(say("model"), say("revenue"), "ROI"),
        rows=[(say(f"model_{model.value}"), grouped(roi.revenue), str(roi.ratio)) for model, roi in returns],
    )


def _customer(sales: Session, told: Life, say: Say) -> Section:
    """Show what all modules know of one customer, as far as the manager may see it: one call, of the contact with the account."""
    view = sales.view360(sales.get(Contact, told.contact))

    def part(name: str) -> Mapping[str, Any]:
        panel = view.panel(name) or (view.account.panel(name) if view.account is not None else None)
        return panel.data if panel is not None and panel.data is not None else {}

    came = part("marketing.marketing_of_contact").get("first_touch")
    purchases, grade = part("erp_bridge.purchases"), part("analytics.grade_of_account")
    bought = [f"{o['number']}: {grouped(Money.from_json(o['total']))}" for o in purchases.get("orders", ())]
    owed = [f"{say('balance')}: {grouped(Money.from_json(m))}" for m in purchases.get("balance", ())]
    groups = [
        (say("customer_came"), [f"{came['at'][:10]} {came['source']}, {came['medium']}"] if came else []),
        (say("customer_grade"), [grade["why"]] if grade else []),
        (say("customer_orders"), [f"{o.number}: {grouped(o.total)}" for o in part("sales.orders_of_account").get("orders", ())]),
        (say("customer_purchases"), bought + owed),
        (say("customer_promises"), [p["what"] for p in part("service.promises_of_account").get("promises", ())]),
        (say("customer_answers"), [f"{a['score']}: {a['comment']}" for a in part("service.surveys_of_account").get("answers", ())]),
        (say("customer_touches"), [_touch(entry.record, say) for entry in view.timeline]),
    ]
    return Section(title=say("customer", name=told.name), says=say("customer_says"), chart=listing(groups))


def _touch(record: Any, say: Say) -> str:
    return f"{record.at:%Y-%m-%d} {say(f'channel_{record.channel.value}')}: {record.subject or record.body}"


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
