"""A subscriber that counts an event as often as it comes."""

from __future__ import annotations

from crm_core import Created, Entity, Field, Plugin, Ref, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK11"
REASON = "a second delivery"

plugin = Plugin("acme.doubling", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Tally(Entity):
    """One for each entry."""

    entry: Field[Ref[Entry]]


plugin.entities(Tally)


@plugin.on(Created[Entry])
def count(s: Session, event: Created[Entry]) -> None:
    """Count it."""
    s.create(Tally(entry=event.record))


translate(plugin)
