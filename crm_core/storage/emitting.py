"""Domain events: a plugin's own, a journal row each in the transaction of what they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..entities.fields import Ref
from ..entities.meta import spec
from ..errors import Denied
from ..events.event import Event, event_kind
from .writer import JournalRow

if TYPE_CHECKING:
    from ..session import Session


def emit(session: Session, events: Sequence[Event[Any]]) -> None:
    """Publish domain events of the running plugin.

    Raises:
        Denied: ``foreign_event``, ``event_undeclared``.
    """
    rows: list[JournalRow] = []
    crm, origin = session.crm, session.origin()
    subjects = _subjects(session, [event.record for event in events if type(event).__event_personal__])
    for event, id_ in zip(events, crm.runtime.ids.many(len(events)), strict=True):
        owner = crm.registry.owner(type(event))
        if owner is None:
            raise Denied("event_undeclared", event=type(event).__name__, plugin=origin.plugin or "host")
        if owner != origin.plugin:
            raise Denied("foreign_event", event=type(event).__name__, plugin=origin.plugin or "host")
        data, personal = crm.events.parts(event)
        kept = {"data": personal} if personal else None
        about, name = subjects.get(event.record, ""), spec(event.record.entity).name
        rows.append(JournalRow(name, event.record.id, 0, event_kind(type(event)), {"id": id_, "data": data}, kept, about))
    if not rows:
        return
    write = None if subjects else crm.writer(session._unit.connection).later(origin, rows)
    if write is not None:
        session._unit.later(write)
        return
    with session._unit.atomic() as connection:
        sealer = crm.tables.sealer
        held = sealer.keyring.hold(connection, origin.tenant, set(subjects.values())) if sealer and subjects else {}
        crm.writer(connection).journal(connection, origin, rows, held)


def _subjects(session: Session, refs: Sequence[Ref[Any]]) -> dict[Ref[Any], str]:
    """Name whom each of some records is about; of one that is not there, itself."""
    crm = session.crm
    found: dict[Ref[Any], str] = {ref: f"{spec(ref.entity).name}/{ref.id}" for ref in refs}
    for entity in {ref.entity for ref in refs if crm.codec(ref.entity).subject_field is not None}:
        records = session.reader.locked(entity, [ref.id for ref in refs if ref.entity is entity])
        found |= {Ref(entity, id_): crm.codec(entity).subject(record) for id_, record in records.items()}
    return found
