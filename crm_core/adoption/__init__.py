"""Adoption: a host's own table is an entity's, and what the host's ORM writes to it is in the journal in the host's own transaction."""

from ..storage.adopted import Adopted
from .room import AdoptedTables, Flaw

__all__ = ["Adopted", "AdoptedTables", "Flaw"]
