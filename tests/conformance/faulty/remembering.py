"""A hook that remembers what it saw in a default argument, of whichever CRM."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, check_write
from tests.conformance.faulty.words import translate

BREAKS = "CK03"
REASON = "keep no state outside"

plugin = Plugin("acme.remembering", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.hook(check_write, on=Entry)
def refuse_known(ctx: WriteCtx, changes: list[Change], seen: list[str] = []) -> None:  # noqa: B006  # the fault
    """Refuse a title that there was."""
    for change in changes:
        if isinstance(change.record, Entry):
            if ctx.op == "create" and change.record.title in seen:
                ctx.refuse(change, "acme.remembering.known")
            seen.append(change.record.title)


translate(plugin, "acme.remembering.known")
