"""``crm plugins``: which plugins are installed."""

from __future__ import annotations

from importlib.metadata import entry_points

import click
from rich.console import Console
from rich.table import Table

from ..errors import LoadError
from ..hooks.registry import discover
from .shell import Shell, connected


@click.command()
@connected
def plugins(shell: Shell) -> None:
    """List the installed plugins: name, version and what each requires."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("plugin", "version", "label", "requires"):
        table.add_column(heading, overflow="fold")
    for name in sorted({point.name for point in entry_points(group="crm.plugins")}):
        try:
            (plugin,) = discover([name])
        except LoadError as e:
            table.add_row(name, "-", shell.said(e), "")
        else:
            requires = ", ".join(f"{other} {versions}".strip() for other, versions in plugin.requires.items())
            table.add_row(plugin.name, plugin.version, plugin.label, requires)
    Console().print(table)
