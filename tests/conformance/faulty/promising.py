"""A hook that is offered and never called."""

from __future__ import annotations

from crm_core import CollectHook, Ctx, Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK09"
REASON = "declared and never called"

plugin = Plugin("acme.promising", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)

price = CollectHook[Ctx, list[Entry], int]("acme.promising.price")
"""Asked for the price of entries."""
plugin.hooks(price)


translate(plugin)
