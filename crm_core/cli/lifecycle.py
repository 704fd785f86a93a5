"""``crm plugins install|upgrade|disable|enable|uninstall``: how plugins come into a database, rest there, and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from ..errors import Invalid
from .shell import Shell, connected

if TYPE_CHECKING:
    from ..crm import CRM
    from ..lifecycle import Removal

_plan = click.option("--plan", is_flag=True, help="Say what would be done, and do nothing.")
_reason = click.option("--reason", help="For the journal.")
_with_dependents = click.option("--with-dependents", is_flag=True, help="And the plugins that require it.")


def _planned(command: Callable[..., None]) -> click.Command:
    """Make a command about one plugin, with a plan and a reason."""
    return click.command()(click.argument("name")(_plan(_reason(connected(command)))))


@_planned
def install(shell: Shell, name: str, plan: bool, reason: str | None) -> None:
    """Bring the plugin NAME, whose package is installed, into the database: its tables, columns and data migrations."""
    _bring(shell, name, plan, lambda crm: crm.plugins.install(name, reason=reason))


@_planned
def upgrade(shell: Shell, name: str, plan: bool, reason: str | None) -> None:
    """Bring the database of the plugin NAME to the version whose package is installed; never to an older one."""
    _bring(shell, name, plan, lambda crm: crm.plugins.upgrade(name, reason=reason))


@click.command()
@click.argument("name")
@_plan
@_reason
@_with_dependents
@click.option("--end-checks", is_flag=True, help="Its vetoes on others' records end as well; else they stay in force.")
@connected
def disable(shell: Shell, name: str, plan: bool, reason: str | None, with_dependents: bool, end_checks: bool) -> None:
    """Switch the plugin NAME off in all tenants and processes. Its records can be read; its events wait; its restrictions stay."""
    crm = shell.existing()
    if plan:
        found = crm.plugins.disabling(name, end_checks=end_checks)
        for code, parts in (("cli_plugin_ends", found.ends), ("cli_plugin_stays", found.stays)):
            for part in parts:
                click.echo(shell.text(code, part=part))
        return
    changed = crm.plugins.disable(name, reason=reason, with_dependents=with_dependents, end_checks=end_checks)
    _switched(shell, "cli_plugin_switched_off", name, changed)


@click.command()
@click.argument("name")
@_reason
@_with_dependents
@connected
def enable(shell: Shell, name: str, reason: str | None, with_dependents: bool) -> None:
    """Switch the plugin NAME on again; what waits for its subscribers is delivered."""
    changed = shell.existing().plugins.enable(name, reason=reason, with_dependents=with_dependents)
    _switched(shell, "cli_plugin_switched_on", name, changed)


@click.command()
@click.argument("name")
@click.option("--keep-data", "keep", flag_value=True, default=None, type=bool, help="Its tables and columns stay, for the next time.")
@click.option("--drop-data", "keep", flag_value=False, type=bool, help="Delete all that it has in the database, for good.")
@click.option("--yes", is_flag=True, help="Delete it.")
@click.option("--at-work", is_flag=True, help="Delete it though a process runs a job or an external subscriber of it now.")
@_plan
@_reason
@connected
def uninstall(shell: Shell, name: str, keep: bool | None, yes: bool, at_work: bool, plan: bool, reason: str | None) -> None:
    """Take the plugin NAME out of the database, whether its package is installed or not. Say what becomes of its data."""
    if keep is None and not plan:
        raise Invalid("cli_plugin_keep_or_drop", plugin=name[:63])
    crm = shell.existing()
    found = crm.plugins.removal(name)
    _show(found)
    for part, until in found.at_work.items():
        click.echo(shell.text("cli_plugin_at_work", part=part, until=until.isoformat(timespec="seconds")))
    if plan or keep is None:
        return
    if not keep and not yes:
        raise Invalid("cli_needs_yes_plugin", plugin=name[:63], rows=_sum(found.rows))
    crm.plugins.uninstall(name, keep_data=keep, reason=reason, at_work=at_work)
    sums = {"tables": len(found.rows), "rows": _sum(found.rows), "columns": len(found.columns)}
    click.echo(shell.text("cli_plugin_kept" if keep else "cli_plugin_removed", plugin=name, **sums))


def _switched(shell: Shell, code: str, name: str, changed: Sequence[str]) -> None:
    click.echo(shell.text(code if changed else "cli_plugin_unchanged", plugin=name, plugins=changed))


def _bring(shell: Shell, name: str, plan: bool, work: Callable[[CRM], bool]) -> None:
    crm = shell.unchecked()
    if plan:
        found = crm.plugins.plan(name)
        click.echo(f"{name} {found.version}")
        for line in (*found.steps, *found.brings, *found.waiting):
            click.echo(f"  {line}")
        return
    version = crm.registry.plugin(name).version
    click.echo(shell.text("cli_plugin_installed" if work(crm) else "cli_plugin_same", plugin=name, version=version))


def _show(found: Removal) -> None:
    click.echo(f"{found.name} {found.version}")
    for counts, unit in ((found.rows, "rows"), (found.columns, "values"), (found.others, "rows")):
        for place, count in counts.items():
            click.echo(f"  {place}: {count:,} {unit}")
    for companion in found.companions:
        click.echo(f"  {companion}")


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())
