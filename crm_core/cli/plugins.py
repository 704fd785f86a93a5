"""``crm plugins``: which plugins are installed, or how those of an application are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import click

from ..contracts.document import read
from ..entities.meta import spec as entity_spec
from ..errors import CRMError, Invalid
from ..hooks.registry import discover
from ..messages import closest
from . import lifecycle
from .shell import Shell, connected
from .table import echo_table

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.health import PluginHealth
    from ..hooks.parts import Impl
    from ..hooks.plugin import Plugin
    from ..lifecycle import PluginStatus


@click.group(invoke_without_command=True)
@connected
def plugins(shell: Shell) -> None:
    """List the installed plugins: name, version, what each requires and brings, without importing those that have a plugin.json.

    With --app or --db, list those of that CRM, and how each is: in quarantine, where and why, and what is parked for its subscribers.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    loaded = bool(shell.app or shell.db)
    rows = _of(shell.unchecked(), shell) if loaded else _installed(shell)
    echo_table(("plugin", "version", "label", "requires", "state" if loaded else "brings"), rows)


for verb in (lifecycle.install, lifecycle.upgrade, lifecycle.disable, lifecycle.enable, lifecycle.uninstall):
    plugins.add_command(verb)


@plugins.command()
@click.argument("name")
@connected
def resume(shell: Shell, name: str) -> None:
    """End the quarantine of the plugin NAME, in this database and all processes that work on it."""
    shell.unchecked().release(name)
    click.echo(shell.text("cli_plugin_resumed", plugin=name))


@plugins.command()
@click.argument("hook")
@connected
def order(shell: Shell, hook: str) -> None:
    """Print the implementations of HOOK, like before_write or sales.price_lines, in the order in which they run, and why."""
    registry = shell.declared().registry
    if hook not in registry.hooks:
        raise Invalid("cli_no_hook", given=hook[:60], suggestion=closest(hook, registry.hooks))
    loaded = {plugin.name for plugin in registry.plugins}
    rows = []
    for number, impl in enumerate(registry.implementations(registry.hooks[hook]), 1):
        on = entity_spec(impl.on).name if impl.on is not None else ""
        rows.append((str(number), impl.name, on, _why(impl, loaded, shell), impl.where))
    echo_table(("", "implementation", "of", "why here", "written in"), rows)


def _why(impl: Impl, loaded: Collection[str], shell: Shell) -> str:
    asked = [(way, target) for way, target in (("after", impl.after), ("before", impl.before)) if target]
    said = [
        shell.text(f"cli_order_{way}" if {target, target.rpartition(".")[0]} & {*loaded} else "cli_order_absent", target=target)
        for way, target in asked
    ]
    return " ".join(said) or shell.text("cli_order_plain")


def _installed(shell: Shell) -> Iterable[list[str]]:
    """List what each brings by its plugin.json, and import only those that have none."""
    for point in sorted(entry_points(group="crm.plugins"), key=lambda each: each.name):
        try:
            document = read(point.module) or _imported(point.name)
        except CRMError as e:
            yield [point.name, "-", shell.said(e), "", ""]
        else:
            yield [point.name, document["version"], document["label"], _ranges(document["requires"]), _brought(document)]


def _imported(name: str) -> Mapping[str, Any]:
    (plugin,) = discover([name])
    return {"version": plugin.version, "label": plugin.label, "requires": plugin.requires}


def _brought(document: Mapping[str, Any]) -> str:
    counts = [(len(document.get(part, ())), part) for part in ("entities", "events", "hooks", "actions", "deprecated")]
    return ", ".join(f"{count} {part}" for count, part in counts if count)


def _of(crm: CRM, shell: Shell) -> Iterable[list[str]]:
    lines, kept = [], {}
    if crm.migrations.current():
        lines = crm.delivery.parked()
        crm.quarantine.look()
        kept = {status.name: status for status in crm.plugins.list()}
    owners = {s.name: s.plugin for s in crm.subscribers}
    parked = Counter(owners.get(line.subscription, "") for line in lines)
    for health in crm.plugins_health():
        waits = [shell.text("cli_plugin_parked", count=parked[health.plugin])] if parked[health.plugin] else []
        state = _switched(kept.pop(health.plugin, None), shell) or _state(health, shell)
        yield [*_facts(crm.registry.plugin(health.plugin)), " ".join([state, *waits])]
    for status in kept.values():
        yield [status.name, status.version, "", "", f"{_switched(status, shell)} {shell.text('cli_plugin_not_loaded')}".strip()]


def _switched(status: PluginStatus | None, shell: Shell) -> str:
    """Say that a plugin is off; nothing where it is not."""
    codes = {"disabled": "cli_plugin_disabled", "stopped": "cli_plugin_stopped", "uninstalled": "cli_plugin_gone"}
    if status is None or status.state not in codes:
        return ""
    return shell.text(codes[status.state], since=status.since.isoformat(timespec="seconds"), reason=status.reason)


def _facts(plugin: Plugin) -> list[str]:
    return [plugin.name, plugin.version, plugin.label, _ranges(plugin.requires)]


def _ranges(requires: Mapping[str, str]) -> str:
    return ", ".join(f"{other} {versions}".strip() for other, versions in requires.items())


def _state(health: PluginHealth, shell: Shell) -> str:
    facts = {"function": health.function, "count": health.failures, "reason": health.reason}
    if health.since is not None:
        tenants = {"tenants": ", ".join(health.tenants)} if health.tenants else {}
        return shell.text("cli_plugin_quarantined", since=health.since.isoformat(timespec="seconds"), **tenants, **facts)
    return shell.text("cli_plugin_failing", **facts) if health.failures else shell.text("cli_plugin_runs")
