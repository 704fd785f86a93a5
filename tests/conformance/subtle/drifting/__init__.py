"""A text that is longer than the one that was frozen."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin, field
from tests.conformance.faulty.words import translate

BREAKS = "CK07"
REASON = "declared otherwise now"

plugin = Plugin("acme.drifting", version="1.0.0", package="tests.conformance.subtle.drifting")


class Entry(Entity):
    """An entry."""

    title: Field[str] = field(length=50)


plugin.entities(Entry)


translate(plugin)
