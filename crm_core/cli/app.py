"""The command ``crm`` and its subcommands, each in a module that is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from .. import __version__
from ..errors import CRMError
from .shell import Shell, connected, reaching

COMMANDS = {
    "adopt": ("adopt", "adopt_"),
    "audit": ("audit", "audit"),
    "backup": ("backup", "backup_"),
    "doctor": ("doctor", "doctor"),
    "events": ("hooks", "events"),
    "export": ("export", "export_"),
    "fields": ("fields", "fields"),
    "history": ("history", "history_"),
    "hooks": ("hooks", "hooks"),
    "import": ("import_", "import_"),
    "jobs": ("jobs", "jobs"),
    "keys": ("keys", "keys"),
    "migrate": ("migrate", "migrate"),
    "move": ("move", "move_"),
    "plugin": ("plugin", "plugin"),
    "plugins": ("plugins", "plugins"),
    "policy": ("policy", "policy"),
    "privacy": ("privacy", "privacy_"),
    "restore": ("restore", "restore_"),
    "settings": ("settings", "settings"),
    "tenant": ("tenant", "tenant_"),
    "worker": ("worker", "worker"),
}


class Commands(click.Group):
    """A group that imports a subcommand at its first use, and turns our errors into one message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all subcommands, those that installed packages add under ``crm.commands`` included."""
        return sorted({*COMMANDS, *_added()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        command: click.Command | None = None
        if cmd_name in COMMANDS:
            module, name = COMMANDS[cmd_name]
            command = getattr(import_module(f".{module}", __package__), name)
        elif cmd_name in (added := _added()):
            command = reaching(added[cmd_name].load())
            ctx.ensure_object(Shell).plugin = cmd_name
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; an error of ours ends it with what was wrong and what to do."""
        try:
            return super().invoke(ctx)
        except CRMError as e:
            raise click.ClickException(ctx.ensure_object(Shell).said(e)) from e


def _added() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="crm.commands")}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="crm")
@click.option("--slow", is_flag=True, help="End with what each function of a plugin cost: calls, errors, time.")
@connected
def app(shell: Shell, slow: bool) -> None:
    """A CRM on your own database."""
    shell.slow = slow
