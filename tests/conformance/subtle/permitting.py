"""A role with a permission that nothing asks for."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin, Role
from tests.conformance.faulty.words import translate

BREAKS = "CK09"
REASON = "which no action asks for"

plugin = Plugin("acme.permitting", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


plugin.role(Role("acme.permitting.boss", label="acme.permitting.boss").allow(Entry, "read").permit("acme.permitting.fly"))


translate(plugin)
