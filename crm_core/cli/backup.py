"""``crm backup``: make backups, and prove them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..backup import backup, drill, verify
from ..crm import CRM
from ..storage.keys.local import FileKeys
from .shell import Shell, connected

FILE = click.Path(dir_okay=False, path_type=Path)


def with_key(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--key``."""
    return click.option("--key", metavar="FILE", type=FILE, envvar="CRM_BACKUP_KEY", help="The key file, of crm keys create.")(command)


def key_of(path: Path | None) -> FileKeys | None:
    """Read the key file, where one is given."""
    return FileKeys(path) if path else None


def tell_left_out(shell: Shell, crm: CRM) -> None:
    """Say which plugins' kept data no backup and no move has."""
    for status in crm.plugins.list():
        if status.state == "uninstalled" and not status.loaded:
            click.echo(shell.text("cli_backup_without", plugin=status.name))


@click.group("backup")
def backup_() -> None:
    """Make backups, and prove them."""


@backup_.command("create")
@click.argument("path", type=FILE)
@with_key
@click.option("--plain", is_flag=True, help="Do not encrypt.")
@click.option("--tenant", help="The rows of this tenant alone.")
@click.option("--force", is_flag=True, help="Replace the file.")
@connected
def create(shell: Shell, path: Path, key: Path | None, plain: bool, tenant: str | None, force: bool) -> None:
    """Write all that the CRM keeps to the file PATH, while others work."""
    crm = shell.existing()
    made = backup(crm, path, key_of(key), plain=plain, tenant=tenant, force=force)
    tell_left_out(shell, crm)
    click.echo(shell.text("cli_backed_up", path=path.name, rows=made.rows, position=made.position))


@backup_.command("verify")
@click.argument("path", type=FILE)
@with_key
@connected
def verify_(shell: Shell, path: Path, key: Path | None) -> None:
    """Read the backup PATH from end to end and compare it with its checksums."""
    found = verify(path, key_of(key))
    at = f"{found.at:%Y-%m-%d %H:%M} UTC"
    click.echo(shell.text("cli_verified", path=path.name, rows=found.rows, at=at, position=found.position, tenant=found.tenant))


@backup_.command("drill")
@click.argument("path", type=FILE)
@with_key
@connected
def drill_(shell: Shell, path: Path, key: Path | None) -> None:
    """Restore the backup PATH in a scratch place, prove it there, and take it away again."""
    done = drill(shell.unchecked(), path, key_of(key))
    click.echo(shell.text("cli_drilled", path=path.name, rows=done.rows, seconds=f"{done.seconds:.1f}"))
