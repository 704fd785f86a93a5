"""What the core does not offer."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin
from crm_core.storage.tables import LONGEST
from tests.conformance.faulty.words import translate

BREAKS = "CK08"
REASON = "which is not public"

plugin = Plugin("acme.prying", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


def length() -> int:
    """Return how long a name may be."""
    return LONGEST


translate(plugin)
