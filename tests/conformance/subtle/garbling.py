"""An event whose payload comes back as something else."""

from __future__ import annotations

import attrs

from crm_core import Entity, Event, Field, Plugin, Ref
from tests.conformance.faulty.words import translate

BREAKS = "CK10"
REASON = "came back as"

plugin = Plugin("acme.garbling", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Counted(Event[Entry], name="acme.garbling.counted", version=1):
    """An entry was counted, with emphasis."""

    title: str = attrs.field(converter=lambda title: f"{title}!")


plugin.events(Counted)


def counted(entry: Ref[Entry]) -> Counted:
    """Say that it was counted."""
    return Counted(record=entry, title="a")


translate(plugin)
