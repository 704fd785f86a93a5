"""A variable of the process, and another logger's handler."""

from __future__ import annotations

import os

from crm_core import Created, Entity, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK05"
REASON = "environment of the process changed"

plugin = Plugin("acme.surrounding", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.on(Created[Entry])
def switch(s: Session, made: Created[Entry]) -> None:
    """Switch something on for all."""
    os.environ["ACME_SURROUNDING"] = made.record.id


translate(plugin)
