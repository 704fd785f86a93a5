"""``crm demo``: play the story and the year, print the tables, say what to try next."""

from __future__ import annotations

import shutil
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import func, select

from crm_core import CRM, Account, Session
from crm_sales.api import Opportunity, Sales
from crm_service.api import Service, Ticket

from .company import SETUP, Company
from .play import begin, forget, play, progress
from .report import report
from .story import STORY, Life, life
from .words import WORDS
from .year import DAYS, year

DEFAULT_DB = "crm-demo.db"


class Printer:
    """Prints in one language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.console = Console(highlight=False)

    def text(self, word: str, **params: Any) -> str:
        """Say one of the demonstration's words."""
        return WORDS.text(f"demo.{word}", params, self.lang)

    def title(self, word: str, **params: Any) -> None:
        """Print a heading."""
        self.console.print(f"\n[bold]{self.text(word, **params)}[/bold]")

    def table(self, *words: str) -> Table:
        """Start a table; figures stand to the right."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        for n, word in enumerate(words):
            table.add_column(self.text(word), justify="left" if n == 0 or word in ("owner", "target") else "right")
        return table


@click.command()
@click.option("--db", metavar="URL", default=DEFAULT_DB, show_default=True, help="Database URL or SQLite file to make.")
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language of what is printed.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same records and figures.")
@click.option("--days", type=click.IntRange(1, DAYS), default=DAYS, show_default=True, help="How much of the year to simulate.")
@click.option(
    "--report", "report_file", type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write; else beside the database."
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def demo(db: str, lang: str, seed: int, days: int, report_file: Path | None, force: bool) -> None:
    """Play one customer's life and a simulated year in a new database; go on where it was interrupted."""
    printer = Printer(lang)
    url = db if "://" in db else f"sqlite:///{db}"
    written = report_file or Path(DEFAULT_DB if "://" in db else db).with_suffix(".html")
    steps = [*STORY, *year(days)]
    folder = (written if "://" in db else Path(db)).with_suffix("") / "erp"
    if force:
        _clear(url, seed, written, folder)
    company = _open(printer, url, seed, days, written, folder)
    try:
        company.crm.migrate()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=printer.console, transient=True) as bar:
            task = bar.add_task(printer.text("filling"), total=len(steps), completed=progress(url).steps)
            play(company, steps, lambda step: bar.advance(task))
        told = life(company)
        _print_life(printer, told)
        with company.session("ann") as s:
            _print_sales(printer, s)
        with company.session("eve") as s:
            _print_service(printer, s)
        part = written.with_name(f".{written.name}.part")
        part.write_text(report(company.crm, told, lang), encoding="utf-8")
        part.replace(written)  # a report that is there is whole: the demonstration came to its end
        _print_next(printer, company.crm, db, written)
    finally:
        company.close()


def _open(printer: Printer, url: str, seed: int, days: int, written: Path, folder: Path) -> Company:
    """Open a new company, or one whose story or report was interrupted.

    Raises:
        ClickException: there is a CRM, or a report, that is not ours to go on with; or the story was begun with other options.
    """
    if written.exists():
        raise click.ClickException(printer.text("exists", path=written))
    came = progress(url)
    if came.lives and (came.seed, came.days) != (seed, days):
        raise click.ClickException(printer.text("made_with", seed=came.seed, days=came.days))
    company = Company(url, seed, folder, lives=came.lives, now=came.clock)
    if not came.lives and company.crm.migrations.current():
        company.close()
        raise click.ClickException(printer.text("has_crm"))
    begin(url, seed, days)
    if came.steps:
        printer.console.print(printer.text("resumed", steps=came.steps))
    return company


def _clear(url: str, seed: int, written: Path, folder: Path) -> None:
    written.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return
    forget(url)
    company = Company(url, seed, folder)
    if company.crm.migrations.current():
        for plugin in reversed(company.crm.registry.plugins):
            company.crm.migrations.downgrade(None, plugin.name)
    company.close()


def _print_life(printer: Printer, told: Life) -> None:
    printer.title("story")
    minutes = int(told.answered_in.total_seconds() // 60)
    steps = [
        printer.text("lead", name="Carol Chen"),
        printer.text("converted", touches=told.touches),
        printer.text("quoted", net=told.net, tax=told.tax, total=told.total),
        printer.text("won"),
        printer.text("onboarding", promise=told.promise),
        printer.text("invoiced", invoiced=told.invoiced, balance=told.balance),
        printer.text("answered", minutes=minutes, score=told.score),
        printer.text("brought", revenue=told.roi.revenue, cost=told.roi.cost, ratio=told.roi.ratio),
    ]
    for n, step in enumerate(steps, 1):
        printer.console.print(f"  {n}. {step}", soft_wrap=True)


def _print_sales(printer: Printer, s: Session) -> None:
    sales = s.use(Sales)
    printer.title("pipeline")
    table = printer.table("stage", "deals", "amount")
    for figure in sales.pipeline_by_stage():
        table.add_row(figure.stage, str(figure.deals), str(figure.amount))
    printer.console.print(table)
    rate = sales.win_rate()
    printer.console.print(printer.text("rate", won=rate.won, lost=rate.lost, percent=rate.percent))
    printer.title("forecast", currency="EUR")
    table = printer.table("month", "owner", "deals", "amount", "weighted")
    for line in sales.forecast(base="EUR", since=date(2026, 10, 1), until=date(2027, 4, 30)):
        table.add_row(line.month or "-", line.owner or "-", str(line.deals), str(line.amount), str(line.weighted))
    printer.console.print(table)


def _print_service(printer: Printer, s: Session) -> None:
    printer.title("sla")
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in s.use(Service).sla_report(date(2026, 1, 1), date(2027, 1, 31)):
        counts[row.priority.value, row.metric.value][0] += row.met
        counts[row.priority.value, row.metric.value][1] += row.breached
    table = printer.table("priority", "target", "met", "breached", "percent")
    for (priority, metric), (met, breached) in counts.items():
        table.add_row(priority, metric.replace("_", " "), str(met), str(breached), f"{100 * met / (met + breached):.1f}")
    printer.console.print(table)


def _print_next(printer: Printer, crm: CRM, db: str, written: Path) -> None:
    with crm.session(SETUP, write=False) as s:
        counts = {"accounts": s.query(Account).count(), "deals": s.query(Opportunity).count(), "tickets": s.query(Ticket).count()}
    printer.title("next")
    printer.console.print(f"  {printer.text('report', path=written)}", soft_wrap=True)
    printer.console.print(f"  {printer.text('next_plugins')}")
    printer.console.print(f"  {printer.text('next_import', db=db)}", soft_wrap=True)
    printer.console.print("\n" + printer.text("done", path=db, rows=journal_rows(crm), **counts), soft_wrap=True)


def journal_rows(crm: CRM) -> int:
    """Count the journal's rows."""
    with crm.bound.begin(write=False) as connection:
        return connection.execute(select(func.count()).select_from(crm.tables.system.journal)).scalar_one()
