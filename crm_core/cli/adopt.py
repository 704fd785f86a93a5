"""``crm adopt``: the host's own tables that stand for entities."""

from __future__ import annotations

from itertools import islice

import click

from .shell import Shell, connected

SHOWN = 100


@click.group("adopt")
def adopt_() -> None:
    """Work on tables of the application that the CRM adopted (``--app``)."""


@adopt_.command("fill")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many rows.")
@connected
def fill(shell: Shell, limit: int | None) -> None:
    """Write down rows that the journal does not know; may be stopped and run again."""
    click.echo(shell.text("cli_adopted", rows=shell.existing().adoption.fill(limit=limit)))


@adopt_.command("check")
@click.option("--tenant", default="main", show_default=True, help="Whose rows.")
@connected
def check(shell: Shell, tenant: str) -> None:
    """Show the first hundred values that the CRM would not have taken; the exit code is 1 where there is one."""
    flaws = list(islice(shell.existing().adoption.check(tenant=tenant), SHOWN))
    for flaw in flaws:
        click.echo(f"{flaw.entity} {flaw.key}: {flaw.detail.field}: {flaw.detail.code}")
    if flaws:
        raise SystemExit(1)
    click.echo(shell.text("cli_adopted_whole"))
