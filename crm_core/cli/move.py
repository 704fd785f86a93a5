"""``crm move``: from one database to another."""

from __future__ import annotations

import click

from ..backup import move
from ..storage.backup.reading import total
from .shell import Shell, connected


@click.command("move")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@connected
def move_(shell: Shell, source: str, target: str) -> None:
    """Carry a whole CRM FROM one database TO an empty one, SQLite or PostgreSQL: all of it or nothing."""
    moved = move(shell.at(source), shell.at(target))
    click.echo(shell.text("cli_moved", rows=total(moved)))
