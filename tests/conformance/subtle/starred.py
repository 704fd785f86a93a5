"""A function that does not say what it takes in any number."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK19"
REASON = "does not say the type of parts"

plugin = Plugin("acme.starred", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


def joined(*parts) -> str:  # type: ignore[no-untyped-def]  # the fault
    """Join them."""
    return "".join(parts)


translate(plugin)
