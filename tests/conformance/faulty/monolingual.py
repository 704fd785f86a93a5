"""English alone."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import codes_of

BREAKS = "CK17"
REASON = "has no words in 'zh'"

plugin = Plugin("acme.monolingual", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)

plugin.catalogue("en", dict.fromkeys(codes_of(plugin), "A word"))
