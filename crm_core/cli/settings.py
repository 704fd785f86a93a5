"""``crm settings``: a plugin's settings in a tenant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import Invalid
from ..permissions.actor import Actor
from ..settings import dump
from .shell import Shell, connected

if TYPE_CHECKING:
    from ..crm import CRM

_TENANT = click.option("--tenant", default="main", show_default=True, metavar="TENANT", help="In which tenant.")


@click.group()
def settings() -> None:
    """Read and change the settings of plugins, per tenant. A secret stands there by reference: {"secret": "env:NAME"}."""


@settings.command()
@click.argument("plugin")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@_TENANT
@connected
def get(shell: Shell, plugin: str, keys: Sequence[str], tenant: str) -> None:
    """Show the settings of PLUGIN, all or some, a line each: KEY=VALUE, the value as JSON."""
    crm = shell.existing()
    cls = _class(crm, plugin)
    with crm.session(Actor.system("settings", tenant=tenant), write=False) as s:
        found = dump(s.settings(cls))
    for key in keys or found:
        if key not in found:
            raise Invalid("cli_no_setting", plugin=plugin, key=key[:60], known=sorted(found))
        click.echo(f"{key}={json.dumps(found[key], ensure_ascii=False)}")


@settings.command("set")
@click.argument("plugin")
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE...")
@_TENANT
@connected
def set_(shell: Shell, plugin: str, changes: Sequence[str], tenant: str) -> None:
    """Change settings of PLUGIN. A VALUE is JSON; what is none is taken as text."""
    crm = shell.existing()
    cls = _class(crm, plugin)
    with crm.session(Actor.system("settings", tenant=tenant)) as s:
        s.change_settings(cls, dict(_read(change) for change in changes))
    click.echo(shell.text("cli_settings_changed", plugin=plugin, tenant=tenant))


@settings.command()
@click.argument("plugin")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@_TENANT
@connected
def unset(shell: Shell, plugin: str, keys: Sequence[str], tenant: str) -> None:
    """Let the defaults of PLUGIN count again."""
    crm = shell.existing()
    cls = _class(crm, plugin)
    with crm.session(Actor.system("settings", tenant=tenant)) as s:
        s.reset_settings(cls, *keys)
    click.echo(shell.text("cli_settings_changed", plugin=plugin, tenant=tenant))


def _class(crm: CRM, plugin: str) -> type[Any]:
    found = crm.registry.plugin(plugin).settings
    if found is None:
        raise Invalid("cli_no_settings", plugin=plugin)
    return found


def _read(change: str) -> tuple[str, Any]:
    key, equals, value = change.partition("=")
    if not equals:
        raise Invalid("cli_bad_setting", given=change[:60])
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
