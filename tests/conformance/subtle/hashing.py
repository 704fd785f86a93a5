"""A number that another process makes otherwise."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, before_write, field
from tests.conformance.faulty.words import translate

BREAKS = "CK15"
REASON = "asks hash"

plugin = Plugin("acme.hashing", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]
    mark: Field[int] = field(default=0)


plugin.entities(Entry)


@plugin.hook(before_write, on=Entry)
def mark(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Mark it."""
    for change in changes:
        if isinstance(change.record, Entry):
            change.record.mark = hash(change.record.title) % 1_000
    return changes


translate(plugin)
