"""A hook that fills a global dictionary."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, before_write
from tests.conformance.faulty.words import translate

BREAKS = "CK05"
REASON = "the global tests.conformance.faulty.hoarding.SEEN changed"

plugin = Plugin("acme.hoarding", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)

SEEN: dict[str, str] = {}


@plugin.hook(before_write, on=Entry)
def note(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Note what was seen."""
    SEEN.update({change.record.id: ctx.op for change in changes})
    return changes


translate(plugin)
