"""A module of the core that is not public, imported by its name as text."""

from __future__ import annotations

from importlib import import_module

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK08"
REASON = "which is not public"

plugin = Plugin("acme.smuggling", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


def longest() -> int:
    """Return how long a name may be."""
    return int(import_module("crm_core.storage.tables").LONGEST)


translate(plugin)
