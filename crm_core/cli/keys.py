"""``crm keys``: make a key file, replace keys, and see how they are."""

from __future__ import annotations

import click

from .shell import Shell, connected
from .table import echo_table


@click.group()
def keys() -> None:
    """Make, replace and show the keys of sealed fields."""


@keys.command()
@click.argument("path")
@connected
def create(shell: Shell, path: str) -> None:
    """Make a key file PATH with one new key, readable for you alone."""
    from ..storage.keys.local import FileKeys

    FileKeys.create(path)
    click.echo(shell.text("cli_keys_created", path=path))


@keys.command()
@click.option("--tenant", metavar="TENANT", help="Only this tenant's keys [default: all tenants'].")
@click.option("--root", is_flag=True, help="Make a new root key first.")
@connected
def rotate(shell: Shell, tenant: str | None, root: bool) -> None:
    """Give tenants new keys and seal their records anew, while others work. One that was stopped goes on."""
    for done in shell.existing().keys.rotate(tenant, root=root):
        code = "cli_keys_rotated" if done.done else "cli_keys_left"
        click.echo(shell.text(code, tenant=done.tenant, rows=done.rows, keys=done.keys, unreadable=done.unreadable))


@keys.command()
@click.option("--tenant", metavar="TENANT", help="Only this tenant's rows [default: all tenants'].")
@connected
def encrypt(shell: Shell, tenant: str | None) -> None:
    """Seal what stands open in fields that were declared sealed later, while others work. One that was stopped goes on."""
    from ..privacy import scrub

    crm = shell.existing()
    found = crm.keys.encrypt(tenant)
    scrub(crm)
    for done in found:
        click.echo(shell.text("cli_keys_encrypted", tenant=done.tenant, rows=done.rows, left=done.left or ""))
    if not found:
        click.echo(shell.text("cli_keys_nothing_open"))
    for name, rows in crm.keys.journalled_open(tenant).items():
        click.echo(shell.text("cli_keys_journal_open", tenant=name, rows=rows))


@keys.command()
@connected
def status(shell: Shell) -> None:
    """Show the root key and each tenant's keys."""
    crm = shell.existing()
    root = crm.keys.root()
    click.echo(shell.text("cli_keys_root", kind=root["kind"], current=root["current"]))
    rows = []
    for state in crm.keys.status():
        subjects = ", ".join(f"{count} {name}" for name, count in sorted(state.subjects.items()))
        word = shell.text("cli_keys_rotating" if state.rotating else "cli_keys_steady")
        rows.append((state.tenant, str(state.version), state.root, word, subjects))
    echo_table(("tenant", "version", "root key", "state", "subjects"), rows)
