"""An event that tells more of a person than its record has."""

from __future__ import annotations

from crm_core import Entity, Event, Field, Plugin, Ref
from tests.conformance.faulty.words import translate

BREAKS = "CK14"
REASON = "Won.phone"

plugin = Plugin("acme.telling", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Won(Event[Entry], name="acme.telling.won", version=1):
    """An entry won."""

    phone: str


plugin.events(Won)


def won(entry: Ref[Entry]) -> Won:
    """Say that it won."""
    return Won(record=entry, phone="+49")


translate(plugin)
