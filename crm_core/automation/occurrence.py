"""What happened to a record, as the journal has it: which change, and the record's values before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.automation import RuleTrigger
from ..entities.validate import structure
from ..events.journal import reconstruct

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..events.journal import Entry
    from ..permissions.to_python import Values

TRIGGERS = {t.value: t for t in RuleTrigger if t is not RuleTrigger.SCHEDULE}


@attrs.define(eq=False, slots=False)
class Occurrence:
    """One change of one record.

    Attributes:
        entry: the journal's row.
        codec: of its entity.
        read: gives the journal's rows of the record, where the change alone does not say what the other fields held.
    """

    entry: Entry
    codec: Codec
    read: Callable[[], Sequence[Entry]]

    @property
    def trigger(self) -> RuleTrigger | None:
        """What it is to a rule; None for a restored record."""
        return TRIGGERS.get(self.entry.name.rpartition(".")[2])

    @property
    def changed(self) -> frozenset[str]:
        """The names of the fields that an update changed."""
        return frozenset(self.entry.changes)

    @cached_property
    def old(self) -> Values:
        """The values before; none of a new record."""
        match self.trigger:
            case RuleTrigger.CREATED:
                return {}
            case RuleTrigger.DELETED:
                return self._typed(self.entry.payload.get("old", {}), self.entry.version)
        return self._at(self.entry.version - 1)

    @cached_property
    def new(self) -> Values:
        """The values after; of a deleted record, the last ones."""
        match self.trigger:
            case RuleTrigger.CREATED:
                return self._typed(self.entry.payload.get("new", {}), 1)
            case RuleTrigger.DELETED:
                return self.old
        return self._at(self.entry.version)

    @cached_property
    def _history(self) -> Sequence[Entry]:
        return [e for e in self.read() if e.is_automatic]

    def _at(self, version: int) -> Values:
        return self._typed(reconstruct(self._history, version=version) or {}, version)

    def _typed(self, plain: Mapping[str, Any], version: int) -> Values:
        """Read plain values as their fields' types; what the pipeline sets stands in the journal's columns."""
        name = self.codec.facts.name
        fields = self.codec.fields
        values = {n: structure(name, fields[n], v) for n, v in plain.items() if n in fields and not fields[n].system}
        first = self.entry if self.trigger is RuleTrigger.CREATED else next(iter(self._history), self.entry)
        last = next((e for e in reversed(self._history) if e.version <= version), first) if first is not self.entry else first
        stamps = {"created_at": first.at, "created_by": first.actor, "updated_at": last.at, "updated_by": last.actor}
        return {**values, **stamps, "id": self.entry.record, "version": version}
