"""``crm migrate``: bring a database's schema up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .shell import Shell, connected

if TYPE_CHECKING:
    from ..crm import CRM


@click.command()
@click.option("--plan", is_flag=True, help="Say what would be done, and do nothing.")
@connected
def migrate(shell: Shell, plan: bool) -> None:
    """Bring the database's schema up to date, and then the rows that a plugin's data migrations are about.

    What was interrupted is gone on with: a data migration from its last checkpoint.
    """
    crm = shell.unchecked()
    steps = crm.migrations.plan()
    for step in steps:
        click.echo(step)
    if not plan:
        crm.migrations.upgrade()
        click.echo(shell.text("cli_migrated", count=len(steps)))
    for status in crm.jobs.waiting() if crm.migrations.current() else ():
        click.echo(shell.text("cli_data_waits", job=status.name, tenant=status.tenant, version=status.version, done=_done(crm, status.run)))
    if not plan and (count := crm.jobs.migrate()):
        click.echo(shell.text("cli_data_migrated", count=count))


def _done(crm: CRM, run: str | None) -> int | str:
    """Say how far an earlier try came; nothing where there was none."""
    found = next((r for r in crm.jobs.runs() if r.id == run), None)
    return "" if found is None or found.done is None else found.done
