"""Erasing: one transaction that empties, deletes, takes the person out of history and derived stores, and proves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import select

from ..audit.kinds import PERSON_ERASED
from ..entities.fields import Ref
from ..errors import NotFound
from ..storage.sqlite import run
from .certificate import Certificate
from .planning import Work, prepared, refuse_held
from .removal import remove
from .subject import Subject, need
from .suppression import add

if TYPE_CHECKING:
    from ..crm import CRM
    from ..session import Session


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
    remove(core, work.empty, work.delete, id_, work.traces.addresses)
    counts: dict[str, Counter[str]] = {}
    for step in work.plan.steps:
        counts.setdefault(step.entity, Counter())[step.action] += step.count
    now, plain = core.crm.runtime.clock.now(), {entity: dict(each) for entity, each in counts.items()}
    certificate = Certificate(id_, core.actor.tenant, now, by, reason, work.plan.subjects, plain).sealed()
    core.note(PERSON_ERASED, {"certificate": certificate.to_json()})
    return certificate


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
