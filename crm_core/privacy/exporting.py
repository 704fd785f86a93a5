"""Export: all that is known of one person, of every entity of every plugin, as plain JSON (Art. 15 and 20 GDPR)."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from ..entities.meta import spec
from ..events.journal import histories
from ..storage.writer import chunks
from .subject import Subject, as_officer, roots
from .traces import Traces, trace

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..events.journal import Entry
    from ..session import Session

FORMAT = 1


def export(session: Session, subject: Subject) -> dict[str, Any]:
    """Return all records about a person, and what the journal says of them, as plain JSON; that it was done is journalled.

    Values classified ``secret`` are left out. What is about several people, such as a mail to two, is there whole: look through it before
    it is given away.

    Args:
        subject: as :func:`plan`.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Invalid: ``bad_subject_of_request``.
        NotFound: there is no such person.
    """
    with as_officer(session, "privacy") as core:
        traces = trace(core, roots(core, subject))
        records = {spec(entity).name: _records(core, entity, whys) for entity, whys in traces.records.items() if whys}
        journal = _journal(core, traces)
    subjects = list(traces.subjects)
    counts = {name: len(found) for name, found in sorted(records.items())}
    session.note("core.exported.v1", {"subject": subjects, "entities": counts})
    at = session.crm.runtime.clock.now().astimezone(UTC).isoformat()
    return {"format": FORMAT, "tenant": session.actor.tenant, "at": at, "subjects": subjects, "records": records, "journal": journal}


def _records(core: Session, entity: type[Any], whys: dict[str, Any]) -> list[dict[str, Any]]:
    codec, found = core.codec(entity), []
    for part in chunks(list(whys)):
        for deleted in (False, True):
            for record in core.reader.locked(entity, part, deleted=deleted).values():
                values = {n: v for n, v in codec.values(record).items() if n != "tenant" and not _secret(codec, n)}
                found.append({**codec.plain(values), "why": whys[record.id]})
    return sorted(found, key=lambda each: str(each["id"]))


def _journal(core: Session, traces: Traces) -> list[dict[str, Any]]:
    """Return what was done with the records, but for those that only point at the person."""
    said: list[dict[str, Any]] = []
    for entity, ids in traces.of("person", "part", "about", "mentions"):
        codec = core.codec(entity)
        for part in chunks(ids):
            entries = histories(core._unit.connection, core.crm.tables, core.actor.tenant, part)
            said += [_entry(codec, entry) for each in entries.values() for entry in each]
    return sorted(said, key=lambda each: (each["at"], each["record"]))


def _entry(codec: Codec, entry: Entry) -> dict[str, Any]:
    payload = {
        part: {n: v for n, v in values.items() if not _secret(codec, n)} if part in ("new", "old", "changes") else values
        for part, values in entry.payload.items()
    }
    at = entry.at.astimezone(UTC).isoformat()
    return {"at": at, "actor": entry.actor, "kind": entry.kind, "entity": entry.entity, "record": entry.record, "payload": payload}


def _secret(codec: Codec, name: str) -> bool:
    field = codec.fields.get(name)
    return field is not None and field.options.classified == "secret"
