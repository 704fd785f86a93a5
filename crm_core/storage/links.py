"""Relations between records of modules that do not know each other, as plugins' ``link`` declares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from ..entities.entity import Entity
from ..entities.meta import spec
from ..errors import Conflict, LoadError, NotFound
from ..permissions.denial import denied

if TYPE_CHECKING:
    from ..crm import CRM
    from ..entities.fields import FieldSpec
    from ..hooks.parts import Link
    from ..session import Session


def referring(crm: CRM, entity: type[Any]) -> Sequence[tuple[type[Any], FieldSpec]]:
    """Return the fields of all entities that point at one."""
    every = ((e, f) for e in crm.registry.entities for f in crm.codec(e).fields.values())
    return [(e, f) for e, f in every if f.kind == "ref" and f.target is entity]


class Links:
    """The link tables of one CRM. Both records must be visible, and the first changeable, for whoever relates them."""

    def add(self, session: Session, link: Link, a: Entity, b: Entity) -> None:
        """Relate two records.

        Raises:
            NotFound: one of them is not there for this actor.
            Conflict: ``link_taken``: the link allows one partner, and there is another.
        """
        table = self._table(session, link)
        self._check(session, a, b)
        with session._unit.atomic() as connection:
            known = set(connection.execute(select(table.c.b).where(table.c.tenant == session.actor.tenant, table.c.a == a.id)).scalars())
            if b.id in known:
                return
            if known and not link.many:
                raise Conflict("link_taken", link=link.name)
            connection.execute(insert(table).values(tenant=session.actor.tenant, a=a.id, b=b.id))
            session.note("core.linked.v1", {"link": link.name, "a": a.id, "b": b.id}, entity=spec(type(a)).name, record=a.id)

    def remove(self, session: Session, link: Link, a: Entity, b: Entity) -> None:
        """End a relation; one that is not there is none."""
        table = self._table(session, link)
        self._check(session, a, b)
        with session._unit.atomic() as connection:
            gone = connection.execute(delete(table).where(table.c.tenant == session.actor.tenant, table.c.a == a.id, table.c.b == b.id))
            if gone.rowcount:
                session.note("core.unlinked.v1", {"link": link.name, "a": a.id, "b": b.id}, entity=spec(type(a)).name, record=a.id)

    def of(self, session: Session, link: Link, record: Entity) -> list[Any]:
        """Return the visible records on the other side; none for a record that is not there for this actor."""
        table = self._table(session, link)
        if session.find(type(record), record.id) is None:
            return []
        mine, theirs, other = (table.c.a, table.c.b, link.b) if type(record) is link.a else (table.c.b, table.c.a, link.a)
        statement = select(theirs).where(table.c.tenant == session.actor.tenant, mine == record.id).order_by(theirs)
        return session.get_many(other, list(session._unit.connection.execute(statement).scalars()))

    def _table(self, session: Session, link: Link) -> Any:
        found = session.crm.tables.links.get(link)
        if found is None:
            raise LoadError("link_not_loaded", link=link.name)
        return found

    def _check(self, session: Session, a: Entity, b: Entity) -> None:
        for record in (a, b):
            if session.find(type(record), record.id) is None:
                raise NotFound(entity=spec(type(record)).name)
        if not session.permitted_stored("update", a):
            raise denied(session, "update", spec(type(a)).name)
