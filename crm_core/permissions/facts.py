"""What rules ask beyond a record's values, answered from a session's database and remembered until the next write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ..entities.validate import is_id
from .actor import Actor
from .prepared import driver_rows
from .to_python import People

if TYPE_CHECKING:
    from ..scope import Scope


class SessionFacts:
    """The facts of one session. Related records and shares are read at the first question about them."""

    def __init__(self, session: Scope, people: People) -> None:
        self._session = session
        self._people = people
        self._related: dict[tuple[str, str], Mapping[str, Any] | None] = {}
        self._shares: set[tuple[str, str, str]] | None = None
        self._epoch = session.unit.epoch

    @property
    def actor(self) -> Actor:
        """Who acts."""
        return self._session.actor

    @property
    def people(self) -> People:
        """The directory of the actor's tenant."""
        return self._people

    def related(self, entity: str, id: str) -> Mapping[str, Any] | None:
        """Return the values of a living record of the tenant, or None."""
        self._forget_old()
        key = (entity, id)
        if key not in self._related:
            crm = self._session.crm
            codec = crm.codec(crm.entity(entity))
            table = crm.tables.entities[codec.entity]
            columns, load = codec.loader(codec.every)
            statement = select(*(table.c[c] for c in columns)).where(
                table.c.tenant == self.actor.tenant, table.c.id == id, table.c.deleted_at.is_(None)
            )
            rows = driver_rows(self._session.unit.connection.execute(statement)) if is_id(id) else ()
            self._related[key] = codec.values(load(rows[0])) if rows else None
        return self._related[key]

    def shared(self, entity: str, id: str, action: str) -> bool:
        """Say whether a record was shared with the actor or one of the actor's teams for *action*."""
        self._forget_old()
        if self._shares is None:
            table = self._session.crm.tables.system.share
            statement = select(table.c.entity, table.c.record, table.c.action).where(
                table.c.tenant == self.actor.tenant, table.c.grantee.in_(self.actor.grantees)
            )
            self._shares = {tuple(row) for row in self._session.unit.connection.execute(statement)}
        return (entity, id, action) in self._shares

    def has_shares(self, entity: str, action: str) -> bool:
        """Say whether any record of an entity was shared with the actor or one of the actor's teams for *action*."""
        self.shared(entity, "", action)
        return any((e, a) == (entity, action) for e, _, a in self._shares or ())

    def _forget_old(self) -> None:
        """Ask again after anything was written or undone."""
        if self._epoch != self._session.unit.epoch:
            self._epoch = self._session.unit.epoch
            self._related.clear()
            self._shares = None
