"""Nothing is wrong with it: what it declares it uses by ways that only a run shows."""

from __future__ import annotations

from typing import Any

import attrs

from crm_core import Account, CollectHook, Ctx, Entity, Event, Field, Plugin, Ref, Role, Session
from tests.conformance.faulty.words import translate

BREAKS = ""
REASON = ""

plugin = Plugin("acme.roundabout", version="1.0.0")
plugin.grants("account:read,update")
APPROVE = "acme.roundabout.approve"


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)
plugin.role(Role("acme.roundabout.clerk", label="acme.roundabout.role.clerk").allow(Entry, "read", APPROVE).permit("acme.roundabout.close"))


class Closed(Event[Entry], name="acme.roundabout.closed", version=1):
    """An entry was closed."""


plugin.events(Closed)
closers: CollectHook[Ctx, list[Ref[Entry]], str] = CollectHook("acme.roundabout.closers")
"""Who wants to close entries says why."""
plugin.hooks(closers)
TOLD: dict[str, Any] = {each.__name__: each for each in plugin.definitions.events}
ASKED: dict[str, Any] = {hook.name: hook for hook in plugin.definitions.hooks}
CHANGING = "".join(("up", "date"))


@attrs.define
class Close:
    """Close an entry."""

    entry: Ref[Entry]
    account: Ref[Account]


@plugin.action(permission="acme.roundabout.close", label="acme.roundabout.action.close")
def close(s: Session, cmd: Close) -> None:
    """Ask, tell, and note it at the account."""
    if s.can(APPROVE, s.get(Entry, cmd.entry)):
        for ask in ASKED.values():
            ask(Ctx(s), [cmd.entry])
        for tell in TOLD.values():
            s.emit(tell(record=cmd.entry))
        with s.elevated("noted") as more:
            getattr(more, CHANGING)(Account, cmd.account.id, {"industry": "closing"})


translate(plugin, "acme.roundabout.role.clerk")
