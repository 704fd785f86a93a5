"""An optional package, imported by its name as text."""

from __future__ import annotations

from importlib import import_module

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK13"
REASON = "without click it does not load"

plugin = Plugin("acme.hidden_need", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


prompt = import_module("click").prompt


translate(plugin)
