"""Facts at hand, for rules that are read without a database."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from crm_core.permissions.actor import Actor
from crm_core.permissions.to_python import People, Values


@attrs.frozen
class LoadedFacts:
    """Facts that are all there.

    Attributes:
        records: values of related records by (entity, id); what is missing does not exist.
        shares: (entity, id, action) of records shared with the actor.
    """

    actor: Actor
    people: People
    records: Mapping[tuple[str, str], Values] = attrs.field(factory=dict)
    shares: frozenset[tuple[str, str, str]] = frozenset()

    def related(self, entity: str, id: str) -> Values | None:
        """Return the values of a record."""
        return self.records.get((entity, id))

    def shared(self, entity: str, id: str, action: str) -> bool:
        """Say whether a record was shared with the actor."""
        return (entity, id, action) in self.shares
