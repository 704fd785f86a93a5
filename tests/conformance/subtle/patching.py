"""A patch of a class of the core."""

from __future__ import annotations

from crm_core import Created, Entity, Field, Money, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK05"
REASON = "of the core was replaced"

plugin = Plugin("acme.patching", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.on(Created[Entry])
def patch(s: Session, made: Created[Entry]) -> None:
    """Show amounts otherwise."""
    Money.__str__ = lambda self: "?"  # type: ignore[method-assign]  # the fault


translate(plugin)
