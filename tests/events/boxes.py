"""The records of the delivery tests, apart from the CRM, so that a process that only delivers starts quickly."""

from __future__ import annotations

from datetime import UTC, datetime

from crm_core.entities.entity import Entity
from crm_core.entities.fields import Field, field
from crm_core.entities.meta import bind_entity

START = datetime(2026, 1, 1, tzinfo=UTC)


class Box(Entity):
    """Something that changes."""

    name: Field[str]
    size: Field[int] = field(default=0)


class Effect(Entity):
    """What a subscriber did about one event."""

    event: Field[str] = field(index=True)
    box: Field[str]
    what: Field[str]
    size: Field[int | None] = field(default=None)


bind_entity(Box, "box")
bind_entity(Effect, "box")
