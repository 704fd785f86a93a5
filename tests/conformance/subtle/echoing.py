"""A subscriber that publishes an event as often as it hears of another."""

from __future__ import annotations

from crm_core import Created, Entity, Event, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK11"
REASON = "published"

plugin = Plugin("acme.echoing", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Heard(Event[Entry], name="acme.echoing.heard", version=1):
    """An entry was heard of."""


plugin.events(Heard)


@plugin.on(Created[Entry])
def echo(s: Session, event: Created[Entry]) -> None:
    """Say so."""
    s.emit(Heard(record=event.record))


translate(plugin)
