"""``crm restore``: bring a backup back."""

from __future__ import annotations

from pathlib import Path

import click

from ..backup import restore
from .backup import FILE, key_of, with_key
from .shell import Shell, connected


@click.command("restore")
@click.argument("path", type=FILE)
@with_key
@click.option("--to", "url", metavar="URL", help="Database URL or SQLite file to restore into; else the CRM's own.")
@click.option("--tenant", help="This tenant alone, beside the others.")
@click.option("--force", is_flag=True, help="Delete the rows that are there first.")
@connected
def restore_(shell: Shell, path: Path, key: Path | None, url: str | None, tenant: str | None, force: bool) -> None:
    """Bring the backup PATH into a database without records: all of it, proved, or nothing."""
    crm = shell.at(url) if url else shell.unchecked()
    done = restore(crm, path, key_of(key), tenant=tenant, force=force)
    click.echo(shell.text("cli_restored", rows=done.rows, position=done.position))
