"""What the core keeps to itself, by way of an attribute."""

from __future__ import annotations

from crm_core import Account, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK08"
REASON = "reaches for"

plugin = Plugin("acme.reaching", version="1.0.0")


def rows(s: Session) -> int:
    """Count past the lens."""
    return len(s._unit.connection.execute(s.crm.tables.entities[Account].select()).all())


translate(plugin)
