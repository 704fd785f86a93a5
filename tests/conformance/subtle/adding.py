"""A subscriber that adds to a number, each time."""

from __future__ import annotations

from crm_core import Created, Entity, Field, Plugin, Session, field
from tests.conformance.faulty.words import translate

BREAKS = "CK11"
REASON = "a record of acme.adding.entry changed"

plugin = Plugin("acme.adding", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]
    times: Field[int] = field(default=0)


plugin.entities(Entry)


@plugin.on(Created[Entry])
def count(s: Session, event: Created[Entry]) -> None:
    """Count it."""
    s.update(Entry, event.record.id, {"times": s.get(Entry, event.record).times + 1})


translate(plugin)
