"""An old version of an event that its upcast cannot read."""

from __future__ import annotations

from typing import Any

from crm_core import Entity, Event, Field, Plugin, Ref
from tests.conformance.faulty.words import translate

BREAKS = "CK10"
REASON = "upcast"

plugin = Plugin("acme.upcasting", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Won(Event[Entry], name="acme.upcasting.won", version=2):
    """An entry won."""

    points: int


plugin.events(Won)


@Won.upcast(1)
def from_first(old: dict[str, Any]) -> dict[str, Any]:
    """Bring the first version along, and forget the points."""
    return {}


def won(entry: Ref[Entry]) -> Won:
    """Say that it won."""
    return Won(record=entry, points=1)


translate(plugin)
