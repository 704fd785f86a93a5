"""What a session relates: records of modules that do not know each other, and records with whom they are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .arguments import check, check_record
from .entities.entity import Entity
from .hooks.parts import Link
from .storage.door import typed_errors
from .tenant_session import TenantSession

if TYPE_CHECKING:
    from .session import Session


@typed_errors
class LinkedSession(TenantSession):
    """The part of a session that relates records and shares them."""

    def link(self, link: Link, a: Entity, b: Entity) -> None:
        """Relate two records, as a plugin's ``link`` declares; once related they stay so."""
        check(link, Link, "a link of a plugin")
        check_record(a, b)
        self._keyed("link", (link.name, a.id, b.id), lambda: self.crm.links.add(cast("Session", self), link, a, b))

    def unlink(self, link: Link, a: Entity, b: Entity) -> None:
        """End a relation."""
        check(link, Link, "a link of a plugin")
        check_record(a, b)
        self._keyed("unlink", (link.name, a.id, b.id), lambda: self.crm.links.remove(cast("Session", self), link, a, b))

    def linked(self, link: Link, record: Entity) -> list[Any]:
        """Return the records on the other side of a relation that this actor may see."""
        check(link, Link, "a link of a plugin")
        check_record(record)
        return self.crm.links.of(cast("Session", self), link, record)

    def share(self, record: Entity, grantee: str, *actions: str) -> None:
        """Let ``user:<id>`` or ``team:<name>`` do *actions* (``read`` where none are given) to one record. Needs ``update`` on it."""
        check_record(record)
        given = (record.id, grantee, actions)
        self._keyed("share", given, lambda: self.crm.shares.add(cast("Session", self), record, grantee, actions or ("read",)))

    def unshare(self, record: Entity, grantee: str) -> None:
        """Take back what was shared with someone."""
        check_record(record)
        self._keyed("unshare", (record.id, grantee), lambda: self.crm.shares.remove(cast("Session", self), record, grantee))
