"""A hook that asks the database for each record."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, before_write
from tests.conformance.faulty.words import translate

BREAKS = "CK16"
REASON = "acme.asking.look asks for each record"

plugin = Plugin("acme.asking", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.hook(before_write, on=Entry)
def look(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Look whether there is one like it."""
    for change in changes:
        if isinstance(change.record, Entry):
            ctx.session.query(Entry).where(Entry.title == change.record.title).first()
    return changes


translate(plugin)
