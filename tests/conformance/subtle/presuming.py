"""A hook on all records that takes them all for entries, which other plugins' are not."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, before_write
from tests.conformance.faulty.words import translate

BREAKS = "CK04"
REASON = "beside"

plugin = Plugin("acme.presuming", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.hook(before_write)
def trim(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Cut blanks off all titles."""
    for change in changes:
        change.record.title = change.record.title.strip()  # type: ignore[attr-defined]  # the fault
    return changes


translate(plugin)
