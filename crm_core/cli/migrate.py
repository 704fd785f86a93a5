"""``crm migrate``: bring a database's schema up to date."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from .shell import Shell, connected

if TYPE_CHECKING:
    from ..crm import CRM
    from ..jobs import JobStatus


@click.command()
@click.option("--plan", is_flag=True, help="Say what would be done, and do nothing.")
@connected
def migrate(shell: Shell, plan: bool) -> None:
    """Bring the database's schema up to date, and then the rows that a plugin's data migrations are about.

    What was interrupted is gone on with: a data migration from its last checkpoint.
    """
    crm = shell.unchecked()
    steps = crm.migrations.plan()
    is_new = not crm.migrations.current()
    for step in steps:
        click.echo(step)
    if not plan:
        crm.migrations.upgrade()
        click.echo(shell.text("cli_migrated", count=len(steps)))
    for status in () if is_new else crm.jobs.waiting():
        click.echo(shell.text("cli_data_waits", job=status.name, tenant=status.tenant, version=status.version, done=_done(crm, status.run)))
    if not plan and (count := crm.jobs.migrate(told=_Teller(shell).tell)) and not is_new:
        click.echo(shell.text("cli_data_migrated", count=count))


class _Teller:
    """Says at most once a second how far a data migration is."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._last = float("-inf")

    def tell(self, status: JobStatus, done: int, total: int | None) -> None:
        """Hear of what is done."""
        if (done or total) and time.monotonic() - self._last >= 1:
            self._last = time.monotonic()
            of = "" if total is None else total
            click.echo(self._shell.text("cli_data_progress", job=status.name, tenant=status.tenant, done=done, total=of))


def _done(crm: CRM, run: str | None) -> int | str:
    """Say how far an earlier try came; nothing where there was none."""
    found = next((r for r in crm.jobs.runs() if r.id == run), None)
    return "" if found is None or found.done is None else found.done
