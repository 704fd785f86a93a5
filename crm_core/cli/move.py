"""``crm move``: from one database to another."""

from __future__ import annotations

import click

from ..backup import move
from ..storage.backup.reading import total
from .backup import tell_left_out
from .shell import Shell, connected


@click.command("move")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@connected
def move_(shell: Shell, source: str, target: str) -> None:
    """Carry a whole CRM FROM one database TO an empty one, SQLite or PostgreSQL: all of it or nothing."""
    crm = shell.at(source)
    moved = move(crm, shell.at(target))
    tell_left_out(shell, crm)
    click.echo(shell.text("cli_moved", rows=total(moved)))
