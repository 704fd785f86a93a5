"""A clock of its own."""

from __future__ import annotations

from datetime import UTC, datetime

from crm_core import Change, Entity, Field, Plugin, WriteCtx, before_write, field
from tests.conformance.faulty.words import translate

BREAKS = "CK15"
REASON = "asks datetime.datetime.now"

plugin = Plugin("acme.clockwork", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Visit(Entity):
    """When somebody came."""

    day: Field[int] = field(default=0)


plugin.entities(Visit)


@plugin.hook(before_write, on=Visit)
def date_it(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Note the day."""
    for change in changes:
        if isinstance(change.record, Visit):
            change.record.day = datetime.now(UTC).day
    return changes


translate(plugin)
