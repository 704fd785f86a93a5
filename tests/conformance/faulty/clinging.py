"""A hook that keeps the session in an attribute of itself, and with it the whole CRM."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, before_write
from tests.conformance.faulty.words import translate

BREAKS = "CK05"
REASON = "still refers to the CRM"

plugin = Plugin("acme.clinging", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.hook(before_write, on=Entry)
def cling(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Keep the last session."""
    cling.__dict__["last"] = ctx.session
    return changes


translate(plugin)
