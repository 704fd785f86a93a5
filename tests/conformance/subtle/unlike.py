"""A message with other gaps in Chinese."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, check_write
from tests.conformance.faulty.words import translate

BREAKS = "CK17"
REASON = "other parameters in Chinese"

plugin = Plugin("acme.unlike", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.hook(check_write, on=Entry)
def block(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse what is blocked."""
    for change in changes:
        if isinstance(change.record, Entry) and change.record.title == "blocked":
            ctx.refuse(change, "acme.unlike.blocked", title="blocked")


translate(plugin)
plugin.catalogue("en", {"acme.unlike.blocked": "{title} is blocked."})
plugin.catalogue("zh", {"acme.unlike.blocked": "已被锁定。"})
