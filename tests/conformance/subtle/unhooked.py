"""A hook of its own that nobody is told of."""

from __future__ import annotations

from crm_core import CollectHook, Ctx, Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK18"
REASON = "the hook acme.unhooked.price"

plugin = Plugin("acme.unhooked", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


price = CollectHook[Ctx, list[Entry], int]("acme.unhooked.price")
plugin.hooks(price)


def prices(ctx: Ctx, entries: list[Entry]) -> list[int]:
    """Ask for prices."""
    return list(price(ctx, entries))


translate(plugin)
