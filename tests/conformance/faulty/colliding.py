"""An entity whose table has the name of another plugin's."""

from __future__ import annotations

from types import new_class
from typing import Any, cast

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK04"
REASON = "beside acme.colliding.next"

plugin = Plugin("acme.colliding", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class NextEntry(Entity):
    """An entry: `acme.colliding` and `next_entry` make the same table as `acme.colliding.next` and `entry`."""

    title: Field[str]


plugin.entities(NextEntry)


neighbour = Plugin("acme.colliding.next", version="1.0.0")
neighbour.entities(cast(Any, new_class("Entry", (Entity,), exec_body=lambda names: names.update(__module__=__name__))))


translate(plugin)
