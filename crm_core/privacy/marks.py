"""Marks on people: a legal hold, which no erasure passes, and the restriction of what is done with them (Art. 18 GDPR)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sqlalchemy import delete, insert, select

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
    need(session)
    table, count = session.crm.tables.system.person_mark, 0
    with session._unit.atomic() as connection:
        for entity, ids in roots(session, subject).items():
            for id_ in ids:
                own = {"tenant": session.actor.tenant, "mark": mark, "record": id_}
                mine = (table.c.tenant == own["tenant"], table.c.mark == mark, table.c.record == id_)
                if connection.execute(select(table.c.mark).where(*mine)).first():
                    continue
                name, now = spec(entity).name, session.crm.runtime.clock.now()
                connection.execute(
                    insert(table).values(**own, entity=name, reason=reason[:255], at=now, actor=session.actor.id),
                )
                session.note("core.marked.v1", {"mark": mark, "reason": reason}, entity=name, record=id_)
                count += 1
    return count


def _unmark(session: Session, subject: Subject, mark: Mark) -> int:
    need(session)
    table, count = session.crm.tables.system.person_mark, 0
    with session._unit.atomic() as connection:
        for entity, ids in roots(session, subject).items():
            for id_ in ids:
                mine = (table.c.tenant == session.actor.tenant, table.c.mark == mark, table.c.record == id_)
                if connection.execute(delete(table).where(*mine)).rowcount:
                    session.note("core.unmarked.v1", {"mark": mark}, entity=spec(entity).name, record=id_)
                    count += 1
    return count
