"""An event whose name is not the plugin's."""

from __future__ import annotations

from crm_core import Entity, Event, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK06"
REASON = "must start with acme.nameless"

plugin = Plugin("acme.nameless", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Won(Event[Entry], name="entry_won", version=1):
    """An entry won."""


plugin.events(Won)


translate(plugin)
