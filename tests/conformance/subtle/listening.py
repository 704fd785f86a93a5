"""A listener on the engines of the whole process."""

from __future__ import annotations

from sqlalchemy import Engine, event

from crm_core import Created, Entity, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK05"
REASON = "listens to the engines"

plugin = Plugin("acme.listening", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


def count(*_: object) -> None:
    """Count connections."""


@plugin.on(Created[Entry])
def watch(s: Session, made: Created[Entry]) -> None:
    """Watch every engine there will be."""
    event.listen(Engine, "connect", count)


translate(plugin)
