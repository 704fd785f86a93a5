"""``crm plugin``: what a vendor does with a plugin of theirs: begin it, freeze its tables, lock its contracts."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import click

from ..contracts.collect import collect, package_of
from ..contracts.compare import allowed, differences
from ..contracts.document import place, read, text
from ..contracts.payloads import keep
from ..contracts.project import loaded
from ..errors import Invalid, LoadError
from ..hooks.plugin import Plugin
from ..hooks.registry import Registry
from ..messages import closest
from ..runtime import SystemClock
from ..storage.revisions.freeze import freeze as frozen
from ..storage.revisions.freeze import unfrozen
from ..storage.revisions.history import coming, order
from ..storage.revisions.history import names as revisions
from .plugin_check import check_
from .scaffold import SUBJECTS, Names, write
from .shell import Shell, connected


@click.group()
def plugin() -> None:
    """Write a plugin: begin it, freeze the tables of a release, lock what it promises."""


@plugin.command()
@click.argument("name", required=False)
@click.option("--entity", metavar="CLASS", help="What it keeps, in one word like GiftCard [default: Entry].")
@click.option("--extend", metavar="ENTITY", help="Whose records it adds to: Account or Contact [default: Account].")
@click.option("--author", metavar="NAME", help="Who writes it [default: the first part of NAME].")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Where to write it [default: a new folder named after it].")
@click.option("--no-input", is_flag=True, help="Ask nothing; take the defaults.")
@connected
def new(
    shell: Shell, name: str | None, entity: str | None, extend: str | None, author: str | None, folder: Path | None, no_input: bool
) -> None:
    """Begin the plugin NAME, like acme.loyalty: a package with an entity, a migration, a hook, an event, an action, a permission, a
    setting, a panel, a command, messages in two languages, tests for both databases, a page of docs and CI.

    What is not given is asked for on a terminal. Nothing that exists is overwritten.
    """
    ask = sys.stdin.isatty() and not no_input
    if name is None:
        if not ask:
            raise click.UsageError(shell.text("cli_plugin_new_name_needed"))
        name = str(click.prompt(shell.text("cli_plugin_new_ask_name")))
    names = Names(
        name,
        entity or _asked(shell, ask, "entity", "Entry"),
        extend or _asked(shell, ask, "extend", next(iter(SUBJECTS))),
        author or _asked(shell, ask, "author", name.partition(".")[0].capitalize()),
    )
    target = folder or Path(names.distribution)
    written = write(names, target)
    registry, plugins = loaded(target)
    written += frozen(registry, f"{SystemClock().now():%Y.%m}", [each.name for each in plugins])
    for each in plugins:
        _locked(shell, registry, each, check=False, force=False)
    click.echo(shell.text("cli_plugin_new_done", plugin=name, files=len(written) + len(plugins), path=str(target)))


@plugin.command()
@click.argument("names", nargs=-1)
@click.option("--revision", metavar="YEAR.MONTH", help="What to call it [default: this month, with a number behind it where it has one].")
@click.option("--again", is_flag=True, help="The newest one was not released yet: write it anew.")
def freeze(names: tuple[str, ...], revision: str | None, again: bool) -> None:
    """Write what the plugins of this folder's pyproject.toml keep as their next revision.

    Hosts upgrade by these files, so one that was released is never changed. NAMES picks some of the plugins.
    """
    registry, plugins = loaded(Path.cwd(), names)
    month = f"{SystemClock().now():%Y.%m}"
    for each in plugins:
        newest = max(revisions(each.package), key=order, default=month) if again else None
        id = revision or newest or coming(each.package, month)
        order(id)
        if again:
            (Path(str(files(each.package))) / "revisions" / f"{id}.json").unlink(missing_ok=True)
        for path in frozen(registry, id, [each.name]):
            click.echo(path)


@plugin.command()
@click.argument("names", nargs=-1)
@click.option("--check", is_flag=True, help="Write nothing; the exit code is 1 where anything changed.")
@click.option("--force", is_flag=True, help="Write breaking changes although the version does not announce them.")
@connected
def lock(shell: Shell, names: tuple[str, ...], check: bool, force: bool) -> None:
    """Write what the plugins of this folder's pyproject.toml contribute and promise to the plugin.json of their packages.

    It says what changed since, whether others can live with it, and what to do. What breaks them is written only where the
    plugin's version announces it: from 1.x to 2.0, or below 1.0 from 0.1 to 0.2. NAMES picks some of the plugins.
    """
    registry, plugins = loaded(Path.cwd(), names)
    wrong = [each.name for each in plugins if not _locked(shell, registry, each, check, force)]
    for each, steps in unfrozen(registry, [each.name for each in plugins]).items():
        if steps:
            click.echo(shell.text("cli_plugin_unfrozen", plugin=each.name), err=True)
    if wrong:
        raise SystemExit(1)


def _locked(shell: Shell, registry: Registry, each: Plugin, check: bool, force: bool) -> bool:
    now, before = collect(registry, each), read(package_of(each))
    keep(registry, each, now, before)
    path = place(package_of(each))
    if path is None:
        raise LoadError("package_missing", plugin=each.name)
    found = differences(before, now) if before else []
    for difference in found:
        click.echo(f"{each.name}: {difference.words(shell.messages, shell.lang)}")
    announced = before is None or allowed(before, now) or force or not any(d.breaking for d in found)
    if check or not announced:
        stale = before is None or bool(found)
        if stale:
            click.echo(shell.text("cli_contract_stale" if announced else "cli_contract_refused", plugin=each.name), err=True)
        return not stale
    path.write_text(text(now), encoding="utf-8", newline="\n")
    return True


@plugin.command()
@click.argument("name")
@connected
def manifest(shell: Shell, name: str) -> None:
    """Print what the installed plugin NAME contributes and promises, as JSON, without importing it."""
    points = {point.name: point for point in entry_points(group="crm.plugins")}
    if name not in points:
        raise LoadError("plugin_not_installed", given=name, suggestion=closest(name, points))
    found = read(points[name].module)
    if found is None:
        raise Invalid("cli_manifest_missing", plugin=name)
    click.echo(text(found), nl=False)


def _asked(shell: Shell, ask: bool, what: str, default: str) -> str:
    return str(click.prompt(shell.text(f"cli_plugin_new_ask_{what}"), default=default)) if ask else default


plugin.add_command(check_)
