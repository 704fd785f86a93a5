"""Chance of its own."""

from __future__ import annotations

import random

from crm_core import Change, Entity, Field, Plugin, WriteCtx, before_write, field
from tests.conformance.faulty.words import translate

BREAKS = "CK15"
REASON = "two runs with one seed"

plugin = Plugin("acme.gambling", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Ticket(Entity):
    """A lot."""

    number: Field[int] = field(default=0)


plugin.entities(Ticket)


@plugin.hook(before_write, on=Ticket)
def draw(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Draw a number."""
    for change in changes:
        if isinstance(change.record, Ticket):
            change.record.number = random.randrange(10**12)
    return changes


translate(plugin)
