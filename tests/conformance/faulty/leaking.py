"""A panel that shows what it read with its own grants."""

from __future__ import annotations

from typing import Any

from crm_core import Account, Entity, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK12"
REASON = "name reads="

plugin = Plugin("acme.leaking", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.panel(Account, label="acme.leaking.panel")
def panel(s: Session, account: Account) -> dict[str, Any]:
    """Show the titles of all entries."""
    with s.elevated("the panel") as more:
        return {"titles": [e.title for e in more.query(Entry).all()]}


translate(plugin)
