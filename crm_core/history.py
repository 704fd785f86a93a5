"""The history of a record: who changed what and when, from the journal, as one actor may see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs

from .entities.sealing import MASK
from .errors import Invalid
from .events.event import Change
from .events.journal import Entry, latest
from .paging import Part, check_size

if TYPE_CHECKING:
    from .session import Session

_LONGEST = 19


@attrs.frozen
class HistoryEntry:
    """One change of a record.

    Attributes:
        at: when (UTC).
        actor: who: a user's id, or ``plugin:<name>`` or ``system:<name>``.
        on_behalf_of: for whom a plugin or the system worked; else None.
        verb: ``created``, ``updated``, ``deleted`` or ``restored``.
        version: the record's version after it.
        changes: old and new plain values by field, of the fields that the reader may read. Masked fields, and those whose reading is
            journalled, show that they changed and not to what.
    """

    at: datetime
    actor: str
    on_behalf_of: str | None
    verb: str
    version: int
    changes: Mapping[str, Change]


@attrs.frozen
class History(Part[HistoryEntry]):
    """One page of a history: ``items``, the entries, newest first;
    ``next``, what to give as ``after`` for what is older, None at the end."""


def history(session: Session, entity: type[Any], record: str, size: int, after: str | None) -> History:
    """Return a page of what happened to the record of this id, which the actor sees; see :meth:`Session.history`."""
    check_size(size)
    found = list(islice(_entries(session, entity, record, size + 1, None if after is None else _read(after)), size + 1))
    return History(found[:size], str(found[size - 1].version) if len(found) > size else None)


def _entries(session: Session, entity: type[Any], record: str, batch: int, before: int | None) -> Iterator[HistoryEntry]:
    """Yield the changes below a version, the newest first; an update of fields that the actor may not read did not happen for them."""
    shown, name = _Shown(session, entity), session.codec(entity).facts.name
    connection, tables, tenant = session._unit.connection, session.crm.tables, session.actor.tenant
    more = True
    while more:
        found = latest(connection, tables, tenant, name, record, limit=batch, before=before)
        yield from (entry for each in found if (entry := shown.entry(each)).changes or entry.verb != "updated")
        more, before = len(found) == batch, found[-1].version if found else None


class _Shown:
    """What a reader may know of the fields of an entity."""

    def __init__(self, session: Session, entity: type[Any]) -> None:
        self._fields = session.codec(entity).fields
        self._levels = session.levels(entity)

    def entry(self, entry: Entry) -> HistoryEntry:
        verb = entry.name.rpartition(".")[2]
        changes = {name: self._masked(name, Change(old, new)) for name, (old, new) in _pairs(entry, verb) if self._readable(name)}
        return HistoryEntry(entry.at, entry.actor, entry.on_behalf_of, verb, entry.version, changes)

    def _readable(self, name: str) -> bool:
        return name in self._fields and self._levels.get(name, "write") != "none"

    def _masked(self, name: str, change: Change) -> Change:
        options = self._fields[name].options
        if self._levels.get(name, "write") != "masked" and not (options.sensitive or options.sealed):
            return change
        return Change(*(None if value is None else MASK for value in (change.old, change.new)))


def _pairs(entry: Entry, verb: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    if verb == "created":
        yield from ((name, (None, value)) for name, value in entry.payload.get("new", {}).items())
    else:  # what a deletion took away stands in the entries before it
        yield from ((name, (old, new)) for name, (old, new) in entry.changes.items())


def _read(after: str) -> int:
    """Read a cursor, which anybody can write: a version, which tells nothing of other records."""
    if not (isinstance(after, str) and after.isascii() and after.isdigit() and len(after) < _LONGEST):
        raise Invalid("bad_cursor", given=str(after)[:60])
    return int(after)
