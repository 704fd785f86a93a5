"""``crm migrate``: bring a database's schema up to date."""

from __future__ import annotations

import click

from .shell import Shell, connected


@click.command()
@click.option("--plan", is_flag=True, help="Say what would be done, and do nothing.")
@connected
def migrate(shell: Shell, plan: bool) -> None:
    """Bring the database's schema up to date."""
    crm = shell.unchecked()
    steps = crm.migrations.plan()
    for step in steps:
        click.echo(step)
    if not plan:
        crm.migrate()
        click.echo(shell.text("cli_migrated", count=len(steps)))
