"""The page of the command line."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from crm_core.cli.app import COMMANDS, app
from crm_core.cli.shell import reaching

from .markdown import code, prose, table

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def page() -> list[str]:
    """Return the lines of the page."""
    lines = ["# The command `crm`", "", f"It comes with the extra `cli`. {prose(app.help)}", *_options(app)]
    for name, command in sorted(commands().items()):
        arguments = " ".join(p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument))
        lines += ["", f"{'#' * (2 + name.count(' '))} {code(f'crm {name} {arguments}'.strip())}"]
        for paragraph in (command.help or "").split("\n\n"):
            lines += ["", prose(paragraph)]
        lines += _options(command)
    return lines


def commands() -> dict[str, click.Command]:
    """Return the subcommands of this distribution, and those below them, whatever else is installed."""
    project: dict[str, Any] = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    points = {name: f"crm_core.cli.{module}:{attribute}" for name, (module, attribute) in COMMANDS.items()}
    added = project.get("entry-points", {}).get("crm.commands", {})
    points |= added
    found: dict[str, click.Command] = {}
    for name, point in points.items():
        module, _, attribute = point.partition(":")
        command = getattr(import_module(module), attribute)
        found |= _with_those_below(name, reaching(command) if name in added else command)
    return found


def _with_those_below(name: str, command: click.Command) -> dict[str, click.Command]:
    found = {name: command}
    for below, subcommand in command.commands.items() if isinstance(command, click.Group) else ():
        found |= _with_those_below(f"{name} {below}", subcommand)
    return found


def _options(command: click.Command) -> list[str]:
    given = [p for p in command.params if isinstance(p, click.Option)]
    rows = [(", ".join(map(code, p.opts)), code(p.envvar) if p.envvar else "", p.help or "", _default(p)) for p in given]
    return table(("option", "environment", "meaning", "default"), rows)


def _default(option: click.Option) -> str:
    given = option.default
    return code(given) if isinstance(given, str | int) and not isinstance(given, bool) and str(given) else ""
