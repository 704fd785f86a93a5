"""A function without types."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK19"
REASON = "does not say the type of title"

plugin = Plugin("acme.untyped", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


def shortened(title):  # type: ignore[no-untyped-def]  # the fault
    """Return the beginning."""
    return title[:10]


translate(plugin)
