"""A hook that takes its time over each record."""

from __future__ import annotations

from time import sleep

from crm_core import Change, Entity, Field, Plugin, WriteCtx, before_write
from tests.conformance.faulty.words import translate

BREAKS = "CK16"
REASON = "ms for each record"

plugin = Plugin("acme.brooding", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.hook(before_write, on=Entry)
def brood(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Think it over."""
    for _ in changes:
        sleep(0.03)
    return changes


translate(plugin)
