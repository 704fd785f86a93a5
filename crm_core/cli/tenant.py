"""``crm tenant``: take a tenant away."""

from __future__ import annotations

import click

from ..backup import drop_tenant
from ..errors import Invalid
from .shell import Shell, connected


@click.group("tenant")
def tenant_() -> None:
    """Work on a whole tenant."""


@tenant_.command("drop")
@click.argument("tenant")
@click.option("--yes", is_flag=True, help="Do it.")
@connected
def drop(shell: Shell, tenant: str, yes: bool) -> None:
    """Delete all rows of TENANT, its journal included."""
    if not yes:
        raise Invalid("cli_needs_yes", tenant=tenant[:63])
    gone = drop_tenant(shell.existing(), tenant)
    click.echo(shell.text("cli_dropped", tenant=tenant, rows=sum(gone.values())))
