"""A panel that fails for a record with nothing around it."""

from __future__ import annotations

from typing import Any

from crm_core import Account, Entity, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK02"
REASON = "panel acme.blind.newest failed"

plugin = Plugin("acme.blind", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.panel(Account, label="acme.blind.panel", reads=[Entry])
def newest(s: Session, account: Account) -> dict[str, Any]:
    """Show the newest entry."""
    return {"title": s.query(Entry).where(Entry.title == "none").all()[0].title}


translate(plugin)
