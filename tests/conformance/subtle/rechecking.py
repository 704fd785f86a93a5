"""A hook that asks for each record when records are changed."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, check_write
from tests.conformance.faulty.words import translate

BREAKS = "CK16"
REASON = "asks for each record"

plugin = Plugin("acme.rechecking", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.hook(check_write, on=Entry)
def look(ctx: WriteCtx, changes: list[Change]) -> None:
    """Look whether there is one like it."""
    for change in changes:
        if ctx.op == "update" and isinstance(change.record, Entry):
            ctx.session.query(Entry).where(Entry.title == change.record.title).first()


translate(plugin)
