"""Marks on people: a legal hold, which no erasure passes, and the restriction of what is done with them (Art. 18 GDPR)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from ..entities.meta import spec
from .subject import Subject, need, roots

if TYPE_CHECKING:
    from ..session import Session

Mark = Literal["held", "restricted"]


def hold(session: Session, subject: Subject, reason: str) -> int:
    """Keep a person's records from being erased, until :func:`release`; return how many records were marked.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Invalid, NotFound: as :func:`plan`.
    """
    return _mark(session, subject, "held", reason)


def release(session: Session, subject: Subject) -> int:
    """End a legal hold; return how many records had it."""
    return _unmark(session, subject, "held")


def restrict(session: Session, subject: Subject, reason: str) -> int:
    """Keep a person's records, but let nobody write to them: ``session.blocked`` names them, until :func:`unrestrict`.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Invalid, NotFound: as :func:`plan`.
    """
    return _mark(session, subject, "restricted", reason)


def unrestrict(session: Session, subject: Subject) -> int:
    """End a restriction; return how many records had it."""
    return _unmark(session, subject, "restricted")


def _mark(session: Session, subject: Subject, mark: Mark, reason: str) -> int:
    table, count = session.crm.tables.system.person_mark, 0
    for connection, entity, record, mine in _each(session, subject, mark):
        if connection.execute(select(table.c.mark).where(*mine)).first() is None:
            facts = {"tenant": session.actor.tenant, "mark": mark, "entity": entity, "record": record}
            row = {**facts, "reason": reason[:255], "at": session.crm.runtime.clock.now(), "actor": session.actor.id}
            connection.execute(insert(table).values(row))
            session.note("core.marked.v1", {"mark": mark, "reason": reason}, entity=entity, record=record)
            count += 1
    return count


def _unmark(session: Session, subject: Subject, mark: Mark) -> int:
    table, count = session.crm.tables.system.person_mark, 0
    for connection, entity, record, mine in _each(session, subject, mark):
        if connection.execute(delete(table).where(*mine)).rowcount:
            session.note("core.unmarked.v1", {"mark": mark}, entity=entity, record=record)
            count += 1
    return count


def _each(session: Session, subject: Subject, mark: Mark) -> Iterator[tuple[Connection, str, str, Sequence[ColumnElement[bool]]]]:
    """Yield the records of a person in one transaction: entity, id, and where their mark stands."""
    need(session)
    table = session.crm.tables.system.person_mark
    with session._unit.atomic() as connection:
        for entity, ids in roots(session, subject).items():
            for id_ in ids:
                mine = (table.c.tenant == session.actor.tenant, table.c.mark == mark, table.c.record == id_)
                yield connection, spec(entity).name, id_, mine
