"""Erasing: one transaction that empties, deletes, takes the person out of history and derived stores, and proves it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ..audit.kinds import ERASED, PERSON_ERASED
from ..entities.fields import Ref
from ..entities.meta import spec
from ..errors import NotFound
from ..hooks.core_specs import Change
from ..storage.idempotency import outcome
from ..storage.sqlite import run
from ..storage.writer import JournalRow, chunks
from .certificate import Certificate
from .emptying import emptied
from .planning import Work, prepared, refuse_held
from .subject import Subject, need
from .suppression import add
from .traces import SHORTEST

if TYPE_CHECKING:
    from ..crm import CRM
    from ..session import Session

BATCH = 500


def erase(session: Session, subject: Subject, *, reason: str) -> Certificate:
    """Erase a person: empty every personal field that is about them, delete their own records, and take them out of the journal.

    The changes are journalled and reach rollups and subscribers as others do. Their addresses are suppressed (see :func:`suppress`).
    What a plugin refuses to have deleted, or a legal hold keeps, stops all of it.

    Args:
        subject: as :func:`plan`.
        reason: why, for the certificate and the journal.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Invalid: ``bad_subject_of_request``.
        NotFound: there is no such person.
        Refused: ``erasure_held``, or a plugin's veto.
    """
    need(session)
    with session._unit.atomic(), session._elevated_core("erasure") as core:
        work = prepared(core, subject)
        refuse_held(work.plan)
        return _erase(core, work, core.crm.runtime.ids.new(), session.actor.id, reason)


def _erase(core: Session, work: Work, id_: str, by: str, reason: str) -> Certificate:
    add(core, work.traces.addresses, "erased")
    gone = set(work.traces.addresses)
    for entity, ids in work.empty.items():
        for part in chunks(ids, BATCH):
            gone.update(_empty(core, entity, part))
    for entity, ids in work.delete.items():
        for part in chunks(ids, BATCH):
            living = core.reader.locked(entity, part)
            core.pipeline.delete(entity, [i for i in part if i in living])
    records = [(spec(entity).name, i) for entity, ids in work.empty.items() for i in ids]
    _history(core, records, id_)
    _idempotency(core, {*(i for _, i in records), *(text for text in gone if len(text) >= SHORTEST)})
    counts: dict[str, Counter[str]] = {}
    for step in work.plan.steps:
        counts.setdefault(step.entity, Counter())[step.action] += step.count
    now, plain = core.crm.runtime.clock.now(), {entity: dict(each) for entity, each in counts.items()}
    certificate = Certificate(id_, core.actor.tenant, now, by, reason, work.plan.subjects, plain).sealed()
    core.note(PERSON_ERASED, {"certificate": certificate.to_json()})
    return certificate


def _empty(core: Session, entity: type[Any], ids: Sequence[str]) -> Iterator[str]:
    """Empty the personal fields of records, deleted ones too, and yield the texts that stood there."""
    codec, connection = core.crm.codec(entity), core._unit.connection
    writer = core.crm.writer(connection)
    if not codec.personal:
        return
    for deleted in (False, True):
        changes = []
        for old in core.reader.locked(entity, ids, deleted=deleted).values():
            new, names, gone = emptied(codec, old)
            yield from gone
            if names:
                changes.append(Change(record=new, old=old, fields=names))
        if changes and not deleted:
            core.pipeline.rewrite(codec, changes)
        elif changes:  # what is deleted has no history to go on with, nor is anybody told of it
            records: list[Any] = [c.record for c in changes]
            for record in records:
                record.version, record.updated_at, record.updated_by = record.version + 1, core.crm.runtime.clock.now(), core.actor.id
            names = frozenset().union(*(c.fields for c in changes))
            writer.update(connection, codec, records, names, writer.keys(connection, codec, records, fresh=False))


def _history(core: Session, records: Sequence[tuple[str, str]], request: str) -> None:
    """Take the personal part out of the journal rows of records, destroy their keys, and say so for each."""
    system, connection, tenant = core.crm.tables.system, core._unit.connection, core.actor.tenant
    if core.crm.tables.sealer is not None:
        core.crm.tables.sealer.keyring.shred(connection, tenant, (f"{entity}/{id_}" for entity, id_ in records))
    for part in chunks(list(records)):
        ids = [id_ for _, id_ in part]
        mine = (system.journal.c.tenant == tenant, system.journal.c.record.in_(ids))
        connection.execute(update(system.journal).where(*mine).values(personal=None))
        connection.execute(update(system.parking).where(system.parking.c.record.in_(ids)).values(error=None))
        new = core.crm.runtime.ids.many(len(part))
        rows = [JournalRow(entity, i, 0, ERASED, {"id": n, "subject": request}) for (entity, i), n in zip(part, new, strict=True)]
        core.crm.writer(connection).journal(connection, core.origin(), rows)


def _idempotency(core: Session, words: Iterable[str]) -> None:
    """Empty the kept results that name the records or what stood in them; who asks under such a key again is refused."""
    table, connection, tenant = core.crm.tables.system.idempotency, core._unit.connection, core.actor.tenant
    words, last = sorted(words), ""
    while True:
        wanted = select(table.c.key).where(table.c.tenant == tenant, table.c.key > last).order_by(table.c.key).limit(BATCH)
        keys = list(connection.execute(wanted).scalars())
        for key in keys:
            kept = outcome(connection, core.crm.tables, tenant, key)
            said = json.dumps(kept and kept["calls"], ensure_ascii=False)
            if any(word in said for word in words):
                connection.execute(update(table).where(table.c.tenant == tenant, table.c.key == key).values(result=None))
        if len(keys) < BATCH:
            return
        last = keys[-1]


def certificates(session: Session) -> list[Certificate]:
    """Return the certificates of all erasures that the journal of a tenant knows.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
    """
    need(session)
    journal = session.crm.tables.system.journal
    mine = (journal.c.tenant == session.actor.tenant, journal.c.entity == "core", journal.c.kind == PERSON_ERASED)
    rows = session._unit.connection.execute(select(journal.c.payload).where(*mine).order_by(journal.c.id)).scalars()
    return [Certificate.from_json(payload["certificate"]) for payload in rows]


def reapply(session: Session, known: Iterable[Certificate]) -> int:
    """Erase again whom certificates name and a restored backup brought back; return how many erasures were done.

    Those that the journal knows are passed over, as are other tenants' and people who are not there. A legal hold that came back with the
    backup is older than the erasure, and does not keep it from being done.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Refused: a plugin's veto.
    """
    need(session)
    done = {certificate.id for certificate in certificates(session)}
    count = 0
    for certificate in known:
        if certificate.id in done or certificate.tenant != session.actor.tenant:
            continue
        done.add(certificate.id)
        count += _again(session, certificate)
    return count


def _again(session: Session, certificate: Certificate) -> int:
    count = 0
    with session._unit.atomic(), session._elevated_core("erasure") as core:
        for subject in certificate.subjects:
            entity, _, id_ = subject.partition(":")
            try:
                work = prepared(core, Ref(core.crm.entity(entity), id_))
            except NotFound:
                continue
            _erase(core, work, certificate.id, certificate.by, certificate.reason)
            count = 1
    return count


def scrub(crm: CRM) -> None:
    """Empty SQLite's WAL after an erasure was committed, for old pages stand there until the next checkpoint; elsewhere do nothing."""
    if crm.bound.kind != "sqlite":
        return
    with closing(crm.bound.synchronous().engine.raw_connection()) as connection:
        run(connection.dbapi_connection, "PRAGMA wal_checkpoint(TRUNCATE)")
