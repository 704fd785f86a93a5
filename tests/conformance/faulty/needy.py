"""An optional package, imported when the plugin is."""

from __future__ import annotations

import click

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK13"
REASON = "without click it does not load"

plugin = Plugin("acme.needy", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


def ask() -> str:
    """Ask for a title."""
    return str(click.prompt("title"))


translate(plugin)
