"""An event that is subscribed to and never published."""

from __future__ import annotations

from crm_core import Entity, Event, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK09"
REASON = "never published"

plugin = Plugin("acme.announcing", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Won(Event[Entry], name="acme.announcing.won", version=1):
    """An entry won."""


plugin.events(Won)


@plugin.on(Won)
def hear(s: Session, event: Won) -> None:
    """Hear of it."""


translate(plugin)
