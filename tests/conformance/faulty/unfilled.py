"""A unique column whose default all accounts share that are there already."""

from __future__ import annotations

from crm_core import Account, Entity, Extension, Field, Plugin, field
from tests.conformance.faulty.words import translate

BREAKS = "CK07"
REASON = "the migration fails"

plugin = Plugin("acme.unfilled", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.extend(Account)
class Extra(Extension):
    """What it adds to an account."""

    number: Field[str] = field(default="", unique=True)


translate(plugin)
