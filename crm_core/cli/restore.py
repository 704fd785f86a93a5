"""``crm restore``: bring a backup back."""

from __future__ import annotations

from pathlib import Path

import click

from ..backup import restore
from ..privacy import read_certificates
from .backup import FILE, key_of, with_key
from .shell import Shell, connected


@click.command("restore")
@click.argument("path", type=FILE)
@with_key
@click.option("--to", "url", metavar="URL", help="Database URL or SQLite file to restore into; else the CRM's own.")
@click.option("--tenant", help="This tenant alone, beside the others.")
@click.option("--force", is_flag=True, help="Delete the rows that are there first.")
@click.option("--erasures", type=FILE, metavar="FILE", help="Certificates of people to erase again.")
@connected
def restore_(shell: Shell, path: Path, key: Path | None, url: str | None, tenant: str | None, force: bool, erasures: Path | None) -> None:
    """Bring the backup PATH into a database without records: all of it, proved, or nothing."""
    crm = shell.at(url) if url else shell.unchecked()
    known = [] if erasures is None else list(read_certificates(erasures))
    done = restore(crm, path, key_of(key), tenant=tenant, force=force, erasures=known)
    click.echo(shell.text("cli_restored", rows=done.rows, position=done.position))
