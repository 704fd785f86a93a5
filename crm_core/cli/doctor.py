"""``crm doctor``: is all well?"""

from __future__ import annotations

import json

import click
from rich.text import Text

from ..doctor import Finding, examine, worst
from ..errors import Invalid
from .shell import Shell, connected
from .table import echo_table

WARNING, ERROR = 4, 5
_COLOURS = {"ok": "green", "warning": "yellow", "error": "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--against",
    metavar="NAME=VERSION",
    multiple=True,
    help="Would the plugins go with this version of core or a plugin?",
)
@connected
def doctor(shell: Shell, as_json: bool, against: tuple[str, ...]) -> None:
    """Look at the database, the schema, delivery, keys, clocks and plugins, and change nothing.

    The exit code is 0 where all is well, 4 where something wants to be looked at, 5 where something is wrong.
    """
    found = examine(shell.looked_at(), against=dict(map(_version, against)))
    level = worst(found)
    if as_json:
        findings = [{**finding.to_json(), "says": _says(shell, finding)} for finding in found]
        click.echo(json.dumps({"level": level, "findings": findings}, ensure_ascii=False, indent=2, default=str))
    else:
        echo_table(("", "", ""), [(Text(f.level, style=_COLOURS[f.level]), f.check, _says(shell, f)) for f in found])
    if level != "ok":
        raise click.exceptions.Exit(WARNING if level == "warning" else ERROR)


def _says(shell: Shell, finding: Finding) -> str:
    return shell.text(finding.code, **finding.params)


def _version(given: str) -> tuple[str, str]:
    name, equals, version = given.partition("=")
    if not (name and equals and version):
        raise Invalid("cli_bad_against", given=given[:60])
    return name, version
