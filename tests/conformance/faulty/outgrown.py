"""An event at its second version that cannot read the first."""

from __future__ import annotations

from crm_core import Entity, Event, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK10"
REASON = "cannot read version 1"

plugin = Plugin("acme.outgrown", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Won(Event[Entry], name="acme.outgrown.won", version=2):
    """An entry won."""

    points: int


plugin.events(Won)


def won(entry: Entry) -> Won:
    """Say that it won."""
    return Won(record=entry.ref, points=1)


translate(plugin)
