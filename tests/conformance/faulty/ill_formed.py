"""A hook that takes too little, so that no CRM can load it."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, before_write
from tests.conformance.faulty.words import translate

BREAKS = "CK01"
REASON = "does not load"

plugin = Plugin("acme.ill_formed", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.hook(before_write, on=Entry)  # type: ignore[arg-type]  # the fault
def trim(changes: list[Change]) -> list[Change]:
    """Cut blanks off."""
    return changes


translate(plugin)
