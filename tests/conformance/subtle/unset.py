"""A setting that is not explained."""

from __future__ import annotations

import attrs

from crm_core import Entity, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK18"
REASON = "limit is not explained"

plugin = Plugin("acme.unset", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@attrs.define
class Settings:
    """What a tenant may set."""

    limit: int = 3


plugin.settings = Settings


def limit_of(s: Session) -> int:
    """Return the limit."""
    return s.settings(Settings).limit


translate(plugin)
