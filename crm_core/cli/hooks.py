"""``crm hooks`` and ``crm events``: who runs where, and who hears what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..errors import Invalid
from ..events.event import event_kind
from ..messages import closest
from .shell import Shell, connected
from .table import echo_table

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.parts import Impl
    from ..hooks.spec import Hook


@click.command()
@click.argument("name", required=False, default="")
@connected
def hooks(shell: Shell, name: str) -> None:
    """List the hooks, or the one called NAME: its kind, and who implements it, in the order in which they run."""
    registry = shell.declared().registry
    if name and name not in registry.hooks:
        raise Invalid("cli_no_hook", given=name[:60], suggestion=closest(name, registry.hooks))
    for hook in [registry.hooks[name]] if name else registry.hooks.values():
        for line in _hook(hook, registry.implementations(hook)):
            click.echo(line)


@click.command()
@connected
def events(shell: Shell) -> None:
    """List the events with their versions, and who hears each."""
    echo_table(("event", "heard by"), _events(shell.declared()))


def _hook(hook: Hook[Any, Any], impls: list[Impl]) -> Iterator[str]:
    yield "  ".join([hook.name, f"v{hook.version}", hook.kind, f"per {hook.per}", *(["by entity"] if hook.by_entity else [])])
    for impl in impls:
        told = [impl.name, *([impl.on.__name__] if impl.on else [])]
        told += [f"{word} {given}" for word, given in (("before", impl.before), ("after", impl.after)) if given]
        yield f"  {'  '.join(told)}"


def _events(crm: CRM) -> Iterator[tuple[str, str]]:
    heard: dict[str, list[str]] = {}
    for subscriber in crm.subscribers:
        for name in subscriber.events:
            heard.setdefault(name, []).append(subscriber.name)
    named = {name: event_kind(cls) for name, cls in crm.registry.events.items()}
    for name in sorted({*named, *heard}):
        yield named.get(name, name), ", ".join(sorted(heard.get(name, ())))
