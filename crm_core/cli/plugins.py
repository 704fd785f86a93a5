"""``crm plugins``: which plugins are installed, or how those of an application are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from ..errors import LoadError
from ..hooks.registry import discover
from .shell import Shell, connected

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.health import PluginHealth
    from ..hooks.plugin import Plugin


@click.group(invoke_without_command=True)
@connected
def plugins(shell: Shell) -> None:
    """List the installed plugins: name, version and what each requires.

    With --app or --db, list those of that CRM, and how each is: in quarantine, where and why, and what is parked for its subscribers.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    rows = _of(shell.unchecked(), shell) if shell.app or shell.db else _installed(shell)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("plugin", "version", "label", "requires", *(["state"] if shell.app or shell.db else [])):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@plugins.command()
@click.argument("name")
@connected
def resume(shell: Shell, name: str) -> None:
    """End the quarantine of the plugin NAME, in this database and all processes that work on it."""
    shell.unchecked().release(name)
    click.echo(shell.text("cli_plugin_resumed", plugin=name))


def _installed(shell: Shell) -> Iterable[list[str]]:
    for name in sorted({point.name for point in entry_points(group="crm.plugins")}):
        try:
            (plugin,) = discover([name])
        except LoadError as e:
            yield [name, "-", shell.said(e), ""]
        else:
            yield _facts(plugin)


def _of(crm: CRM, shell: Shell) -> Iterable[list[str]]:
    lines = []
    if crm.migrations.current():
        lines = crm.delivery.parked()
        crm.quarantine.look()
    owners = {s.name: s.plugin for s in crm.subscribers}
    parked = Counter(owners.get(line.subscription, "") for line in lines)
    for health in crm.plugins_health():
        waits = [shell.text("cli_plugin_parked", count=parked[health.plugin])] if parked[health.plugin] else []
        yield [*_facts(crm.registry.plugin(health.plugin)), " ".join([_state(health, shell), *waits])]


def _facts(plugin: Plugin) -> list[str]:
    requires = ", ".join(f"{other} {versions}".strip() for other, versions in plugin.requires.items())
    return [plugin.name, plugin.version, plugin.label, requires]


def _state(health: PluginHealth, shell: Shell) -> str:
    facts = {"function": health.function, "count": health.failures, "reason": health.reason}
    if health.since is not None:
        tenants = {"tenants": ", ".join(health.tenants)} if health.tenants else {}
        return shell.text("cli_plugin_quarantined", since=health.since.isoformat(timespec="seconds"), **tenants, **facts)
    return shell.text("cli_plugin_failing", **facts) if health.failures else shell.text("cli_plugin_runs")
