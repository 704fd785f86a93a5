"""``crm tenant``: declare, suspend, resume and take away tenants, and say which modules each has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from ..errors import Invalid
from .shell import Shell, connected
from .table import echo_table


@click.group("tenant")
def tenant_() -> None:
    """Work on a whole tenant."""


@tenant_.command("list")
@connected
def list_(shell: Shell) -> None:
    """List the tenants, those too that nobody declared."""
    rows = [(each.name, each.label, each.state, ", ".join(each.modules or ())) for each in shell.existing().tenants.list()]
    echo_table(("tenant", "label", "state", "modules"), rows)


@tenant_.command()
@click.argument("tenant")
@click.option("--label", default="", help="What people call it.")
@click.option("--module", "modules", multiple=True, metavar="PLUGIN", help="A plugin that is on in it; repeat it [default: all].")
@connected
def create(shell: Shell, tenant: str, label: str, modules: Sequence[str]) -> None:
    """Declare the tenant TENANT."""
    shell.open().tenants.create(tenant, label=label, modules=list(modules) or None)
    click.echo(shell.text("cli_tenant_created", tenant=tenant))


def _with_reason(command: Callable[..., Any]) -> Callable[..., Any]:
    """Make a command of a function that takes a tenant, and why it is done."""
    reason = click.option("--reason", help="For the journal.")
    return tenant_.command()(click.argument("tenant")(reason(connected(command))))


@_with_reason
def suspend(shell: Shell, tenant: str, reason: str | None) -> None:
    """Refuse the sessions of TENANT, and let its subscribers and jobs rest."""
    shell.existing().tenants.suspend(tenant, reason=reason)
    click.echo(shell.text("cli_tenant_suspended", tenant=tenant))


@_with_reason
def resume(shell: Shell, tenant: str, reason: str | None) -> None:
    """Let TENANT work again."""
    shell.existing().tenants.resume(tenant, reason=reason)
    click.echo(shell.text("cli_tenant_resumed", tenant=tenant))


@tenant_.command()
@click.argument("tenant")
@click.argument("modules", nargs=-1, metavar="[PLUGIN]...")
@connected
def modules(shell: Shell, tenant: str, modules: Sequence[str]) -> None:
    """Say which plugins are on in TENANT; without any, all are."""
    shell.existing().tenants.switch(tenant, list(modules) or None)
    click.echo(shell.text("cli_tenant_modules", tenant=tenant, modules=", ".join(modules)))


@tenant_.command("drop")
@click.argument("tenant")
@click.option("--yes", is_flag=True, help="Do it.")
@connected
def drop(shell: Shell, tenant: str, yes: bool) -> None:
    """Delete all rows of TENANT, its journal included."""
    if not yes:
        raise Invalid("cli_needs_yes", tenant=tenant[:63])
    gone = shell.existing().tenants.drop(tenant)
    click.echo(shell.text("cli_dropped", tenant=tenant, rows=sum(gone.values())))
