"""What an ORM did to rows of adopted tables becomes the journal's: they are read before and after it writes, and what differs is told.

Reading the rows, not the objects, tells the truth also where the database computed a value or the object never loaded the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from ..entities.entity import Entity
from ..hooks.core_specs import Change
from ..permissions.actor import Actor
from ..storage.adopted import TENANT
from ..storage.changeset import Changeset, Operation
from ..storage.join import joined
from ..storage.shown import differ
from .room import rows_of

if TYPE_CHECKING:
    from ..crm import CRM
    from ..entities.codec import Codec

Records = dict[str, Entity]
_LISTED = 500


class Recorder:
    """Writes down for one CRM what became of rows, in the transaction of the connection that it is given.

    Args:
        actor: says who writes, given what the ORM says of it and the rows' tenant.
    """

    def __init__(self, crm: CRM, actor: Callable[[Any, str], Actor]) -> None:
        self._crm = crm
        self._actor = actor

    def before(self, connection: Connection, entity: type[Any], ids: Sequence[str], gone: Sequence[str], *, by: Any = None) -> Records:
        """Read rows before the host changes them, lock them, take up those that were unseen, and free those that will be *gone*.

        Raises:
            Conflict: ``protected``: living records point at one that is to go.
        """
        codec, table = self._crm.codec(entity), self._crm.tables.entities[entity]
        with joined(self._crm.bound, connection):
            found = rows_of(codec, connection, table, ids, lock=True)
        for actor, ours in self._by_tenant(by, found.values()):
            with self._crm.session(actor, on=connection) as s:
                self._crm.writer(connection).hosts.see(s, codec, ours)
                leaving = [r.id for r in ours if r.id in set(gone)]
                if leaving:
                    s.pipeline.release(entity, leaving)
        return found

    def after(self, connection: Connection, entity: type[Any], olds: Records, new: Sequence[str], *, by: Any = None) -> None:
        """Journal what became of the rows that :meth:`before` read, and of *new* ones."""
        codec = self._crm.codec(entity)
        now = rows_of(codec, connection, self._crm.tables.entities[entity], [*olds, *new])
        fresh = {id_: now[id_] for id_ in new if id_ in now}
        for actor, ours in self._by_tenant(by, [*olds.values(), *fresh.values()]):
            with self._crm.session(actor, on=connection) as s:
                for op, changes in _changes(codec, ours, olds, now, self._crm.runtime.clock.now()).items():
                    s.pipeline.observed(codec, Changeset(entity, op, changes, list(range(len(changes)))))

    def highest(self, connection: Connection, entity: type[Any]) -> int | None:
        """Return the highest key of the host's rows; None where keys are no numbers."""
        key = self._crm.tables.adopted[entity].key
        return connection.execute(select(func.coalesce(func.max(key.column), 0))).scalar_one() if key.numeric else None

    def absent(self, connection: Connection, entity: type[Any], keys: Sequence[Any]) -> list[str]:
        """Return the ids of those keys that no row has."""
        there = self._there(connection, entity, keys)
        return [id_ for id_ in self._ids(entity, keys) if id_ not in there]

    def unseen(self, connection: Connection, entity: type[Any], keys: Sequence[Any]) -> list[str]:
        """Return the ids of those keys whose rows are there and nobody knows."""
        there = self._there(connection, entity, keys, self._crm.tables.adopted[entity].unseen(connection.dialect))
        return [id_ for id_ in self._ids(entity, keys) if id_ in there]

    def above(self, connection: Connection, entity: type[Any], highest: int | None) -> list[str]:
        """Return the ids of the rows that came since :meth:`highest` and that nobody knows."""
        adoption = self._crm.tables.adopted[entity]
        if highest is None:
            return []
        wanted = select(adoption.key.column).where(adoption.key.column > highest, adoption.unseen(connection.dialect))
        return [adoption.key.id(value) for value in connection.execute(wanted).scalars()]

    def _there(self, connection: Connection, entity: type[Any], keys: Sequence[Any], *criteria: Any) -> set[str]:
        key, there = self._crm.tables.adopted[entity].key.column, set[str]()
        for at in range(0, len(keys), _LISTED):
            wanted = select(key).where(key.in_(keys[at : at + _LISTED]), *criteria)
            there.update(self._ids(entity, connection.execute(wanted).scalars()))
        return there

    def _ids(self, entity: type[Any], keys: Iterable[Any]) -> Iterable[str]:
        return dict.fromkeys(map(self._crm.tables.adopted[entity].key.id, keys))

    def _by_tenant(self, by: Any, records: Iterable[Entity]) -> Iterator[tuple[Actor, list[Entity]]]:
        tenants: dict[str, list[Entity]] = {}
        for record in records:
            if 1 <= len(record.tenant) <= TENANT:  # else it is nobody's, and no record
                tenants.setdefault(record.tenant, []).append(record)
        for tenant, ours in tenants.items():
            yield self._actor(by, tenant), ours


def _changes(codec: Codec, ours: Sequence[Entity], olds: Records, now: Records, at: Any) -> dict[Operation, list[Change]]:
    """Sort what became of records into operations; what happens to a record that the CRM deleted is not told."""
    found: dict[Operation, list[Change]] = {}
    for record in ours:
        old, new = olds.get(record.id), now.get(record.id)
        if old is None:
            assert new is not None
            found.setdefault("create", []).append(Change(record=new, old=None, fields=frozenset()))
        elif new is None or (new.deleted_at is not None and old.deleted_at is None):
            if old.deleted_at is None:
                last = codec.copy(old)
                last.deleted_at = at if new is None else new.deleted_at
                found.setdefault("delete", []).append(Change(record=last, old=old, fields=frozenset({"deleted_at"})))
        elif new.deleted_at is None:
            fields = frozenset(n for n, f in codec.fields.items() if not f.system and differ(codec.get(new, n), codec.get(old, n)))
            restored = old.deleted_at is not None
            if fields or restored:
                op: Operation = "restore" if restored else "update"
                found.setdefault(op, []).append(Change(record=new, old=old, fields=fields))
    return found
