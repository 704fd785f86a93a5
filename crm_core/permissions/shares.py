"""Explicit shares: one record opened to one person or team beyond what roles say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from ..entities.entity import Entity
from ..entities.meta import spec
from ..errors import Invalid, NotFound
from .denial import denied
from .policy import SHAREABLE

if TYPE_CHECKING:
    from ..session import Session


class Shares:
    """The share table of one CRM. Only who may change a record shares it, and only what they may do themselves."""

    def add(self, session: Session, record: Entity, grantee: str, actions: Sequence[str]) -> None:
        """Open a record for ``user:<id>`` or ``team:<name>``.

        Raises:
            Invalid: the grantee or an action is none.
            Denied: the actor may not change the record, or not do what is shared.
        """
        _check_grantee(grantee)
        for action in actions:
            if action not in SHAREABLE:
                raise Invalid("bad_share_action", given=str(action)[:60], allowed=list(SHAREABLE))
        self._check(session, record, ("update", *actions))
        table, tenant, entity = session.crm.tables.system.share, session.actor.tenant, spec(type(record)).name
        with session._unit.atomic() as connection:
            mine = (table.c.tenant == tenant, table.c.entity == entity, table.c.record == record.id, table.c.grantee == grantee)
            known = set(connection.execute(select(table.c.action).where(*mine)).scalars())
            now = session.crm.runtime.clock.now()
            rows = [
                {
                    "tenant": tenant,
                    "entity": entity,
                    "record": record.id,
                    "grantee": grantee,
                    "action": a,
                    "at": now,
                    "actor": session.actor.id,
                }
                for a in dict.fromkeys(actions)
                if a not in known
            ]
            if rows:
                connection.execute(insert(table), rows)
                session.note(
                    "core.shared.v1", {"grantee": grantee, "actions": [r["action"] for r in rows]}, entity=entity, record=record.id
                )

    def remove(self, session: Session, record: Entity, grantee: str) -> None:
        """Take back all that was shared of a record with someone."""
        _check_grantee(grantee)
        self._check(session, record, ("update",))
        table, entity = session.crm.tables.system.share, spec(type(record)).name
        mine = (table.c.tenant == session.actor.tenant, table.c.entity == entity, table.c.record == record.id, table.c.grantee == grantee)
        with session._unit.atomic() as connection:
            actions = sorted(connection.execute(select(table.c.action).where(*mine)).scalars())
            if connection.execute(delete(table).where(*mine)).rowcount:
                session.note("core.unshared.v1", {"grantee": grantee, "actions": actions}, entity=entity, record=record.id)

    def _check(self, session: Session, record: Entity, actions: Sequence[str]) -> None:
        if session.find(type(record), record.id) is None:
            raise NotFound(entity=spec(type(record)).name)
        for action in actions:
            if not session.permitted_stored(action, record):
                raise denied(session, action, spec(type(record)).name)


def _check_grantee(grantee: Any) -> None:
    kind, _, name = grantee.partition(":") if isinstance(grantee, str) else ("", "", "")
    if kind not in ("user", "team") or not 0 < len(name) <= 255 or not name.isprintable():
        raise Invalid("bad_grantee", given=str(grantee)[:60])
