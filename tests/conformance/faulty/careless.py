"""The address of a person, without a word on how it is to be treated."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK14"
REASON = "Person.email looks like personal data"

plugin = Plugin("acme.careless", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


class Person(Entity):
    """Somebody."""

    email: Field[str]


plugin.entities(Person)


translate(plugin)
