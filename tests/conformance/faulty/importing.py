"""The api of another plugin, which is not required."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import translate

BREAKS = "CK08"
REASON = "add 'sales' to requires="

plugin = Plugin("acme.importing", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


def is_deal(record: object) -> bool:
    """Say whether it is a deal."""
    from crm_sales.api import Opportunity

    return isinstance(record, Opportunity)


translate(plugin)
