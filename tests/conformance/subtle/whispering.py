"""A refusal whose code is not the plugin's, by way of a constant."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, check_write
from tests.conformance.faulty.words import translate

BREAKS = "CK06"
REASON = "raises 'blocked'"

plugin = Plugin("acme.whispering", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


CODE = "blocked"


@plugin.hook(check_write, on=Entry)
def block(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse what is blocked."""
    for change in changes:
        if isinstance(change.record, Entry) and change.record.title == "blocked":
            ctx.refuse(change, CODE)


translate(plugin)
