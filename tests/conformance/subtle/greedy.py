"""A right to delete that nothing needs."""

from __future__ import annotations

from crm_core import Account, Created, Entity, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK09"
REASON = "account:delete"

plugin = Plugin("acme.greedy", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


plugin.grants("account:read", "account:delete")


@plugin.on(Created[Entry])
def look(s: Session, event: Created[Entry]) -> None:
    """Look at an account."""
    s.query(Account).first()


translate(plugin)
