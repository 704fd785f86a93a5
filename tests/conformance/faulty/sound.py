"""Nothing is wrong with it: an entity, an event, a subscriber, an action and a hook, as they should be."""

from __future__ import annotations

import attrs

from crm_core import Change, Entity, Event, Field, Plugin, Ref, Session, WriteCtx, before_write, check_write, field
from tests.conformance.faulty.words import translate

BREAKS = ""
REASON = ""

plugin = Plugin("acme.sound", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Counted(Event[Entry], name="acme.sound.counted", version=1):
    """An entry was counted."""

    times: int


class Tally(Entity):
    """How often an entry was counted."""

    entry: Field[Ref[Entry]]
    event: Field[str] = field(unique=True)


plugin.entities(Tally)
plugin.events(Counted)


@attrs.define
class Count:
    """Count an entry."""

    entry: Ref[Entry]


@plugin.action(on=Entry, permission="acme.sound.count", label="acme.sound.action.count")
def count(s: Session, cmd: Count) -> None:
    """Count it."""
    s.emit(Counted(record=cmd.entry, times=1))


@plugin.on(Counted)
def keep(s: Session, event: Counted) -> None:
    """Keep it, once."""
    s.upsert(Tally(entry=event.record, event=event.id), on="event")


@plugin.hook(before_write, on=Entry)
def trim(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Cut blanks off."""
    for change in changes:
        if isinstance(change.record, Entry):
            change.record.title = change.record.title.strip()
    return changes


@plugin.hook(check_write, on=Entry)
def refuse_nonsense(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse what is called nonsense."""
    for change in changes:
        if isinstance(change.record, Entry) and change.record.title == "nonsense":
            ctx.refuse(change, "acme.sound.nonsense")


translate(plugin, "acme.sound.nonsense")
