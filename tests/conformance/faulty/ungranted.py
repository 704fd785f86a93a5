"""A subscriber that does what its plugin was not granted."""

from __future__ import annotations

from crm_core import Contact, Created, Entity, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK09"
REASON = "declare what it needs"

plugin = Plugin("acme.ungranted", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.on(Created[Entry])
def tell(s: Session, event: Created[Entry]) -> None:
    """Leave a contact."""
    s.create(Contact(name="Ann"))


translate(plugin)
