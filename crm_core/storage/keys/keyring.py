"""Keyring: the keys that writers use. They are rows, read in the writing transaction and held until it ends, so that none is retired
while somebody writes under it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, Select, func, select, update

from ...entities.upsert import upsert
from ...errors import Refused, Unreadable
from .envelope import Key, fresh_bytes, key_of
from .states import CURRENT, DESTROYED, OLD
from .vault import Vault

if TYPE_CHECKING:
    from datetime import datetime

    from ..system import SystemTables

LISTED = 500
# A subject's key, or none any more where it was destroyed.
Held = Mapping[str, Key | None]


@attrs.frozen
class IndexKey:
    """A key for blind indexes."""

    version: int
    material: bytes = attrs.field(repr=False)


class Keyring:
    """The keys in the database of one CRM.

    Args:
        now: tells the time, for the rows.
    """

    def __init__(self, vault: Vault, system: SystemTables, now: Any) -> None:
        self._vault = vault
        self._table = system.key
        self.now = now

    # -- for writers --------------------------------------------------------------------------------------------------------------

    def hold(self, connection: Connection, tenant: str, subjects: Iterable[str], fresh: Collection[str] = ()) -> dict[str, Key | None]:
        """Return the keys of *subjects* and hold them until the transaction ends; make those that are not there.

        Args:
            fresh: those of them that are new, and cannot have one.
        """
        wanted = sorted(set(subjects))
        held = self._held(connection, tenant, [s for s in wanted if s not in fresh])
        missing = [s for s in wanted if s not in held]
        if missing:
            made = self._make(connection, tenant, missing)
            held |= made
            if len(made) < len(missing):  # somebody else made one meanwhile
                held |= self._held(connection, tenant, [s for s in missing if s not in made])
        return held

    def _held(self, connection: Connection, tenant: str, subjects: Sequence[str]) -> dict[str, Key | None]:
        table, parent = self._table, self._table.alias("crm_parent")
        found: dict[str, Key | None] = {}
        for at in range(0, len(subjects), LISTED):
            mine = (table.c.tenant == tenant, table.c.kind == "subject", table.c.subject.in_(subjects[at : at + LISTED]))
            usable = (*mine, table.c.state.in_([CURRENT, DESTROYED]))
            if connection.dialect.name == "postgresql":
                # Before it is read: else a key that was wrapped anew meanwhile would be read beside the tenant's key from before.
                connection.execute(select(table.c.id).where(*usable).order_by(table.c.id).with_for_update(read=True))
            columns = (table.c.subject, table.c.id, table.c.wrapped, table.c.state, parent.c.wrapped)
            source = table.outerjoin(parent, parent.c.id == table.c.parent)
            statement = select(*columns).select_from(source).where(*usable)
            for subject, id_, wrapped, state, parent_wrapped in connection.execute(statement):
                if state == DESTROYED:
                    found[subject] = None
                else:
                    found.setdefault(subject, self._vault.subject_key(tenant, id_, wrapped, parent_wrapped or ""))
        return found

    def _make(self, connection: Connection, tenant: str, subjects: Sequence[str]) -> dict[str, Key]:
        self.fence(connection, tenant)
        parent = self.tenant_key(connection, tenant)
        made: dict[str, Key] = {}
        rows = []
        for subject in subjects:
            id_ = fresh_bytes(8).hex()
            wrapped, material = self._vault.new_key(parent, tenant, id_, "subject")
            made[subject] = key_of(id_, material)
            rows.append(self._row(tenant, "subject", id_, wrapped, subject=subject, parent=parent.id))
        if self._add(connection, rows) == len(rows):
            return made
        ours = select(self._table.c.id).where(self._table.c.id.in_([row["id"] for row in rows]))
        known = set(connection.execute(ours).scalars())
        return {subject: key for subject, key in made.items() if key.id in known}

    def own(self, connection: Connection, tenant: str) -> tuple[Key, bytes]:
        """Return the tenant's own key, for what is about nobody, and its bytes. It is wrapped anew but never replaced."""
        table, parent = self._table, self._table.alias("crm_parent")
        mine = (table.c.tenant == tenant, table.c.kind == "subject", table.c.subject == "", table.c.state == CURRENT)
        source = table.join(parent, parent.c.id == table.c.parent)
        wanted = select(table.c.id, table.c.wrapped, parent.c.wrapped).select_from(source).where(*mine)
        row = connection.execute(wanted).first()  # a session that only reads can ask for it, but not make it
        if row is None:
            self.hold(connection, tenant, [""])
            row = connection.execute(wanted).one()
        material = self._vault.unwrap(tenant, row[0], "subject", row[1], row[2] or "")
        return key_of(row[0], material), material

    def find(self, connection: Connection, tenant: str, id: str) -> Key:
        """Return a subject's key by its id.

        Raises:
            Unreadable: ``key_missing``.
        """
        table, parent = self._table, self._table.alias("crm_parent")
        source = table.join(parent, parent.c.id == table.c.parent)
        mine = (table.c.tenant == tenant, table.c.id == id, table.c.wrapped.is_not(None))
        row = connection.execute(select(table.c.wrapped, parent.c.wrapped).select_from(source).where(*mine)).first()
        if row is None:
            raise Unreadable("key_missing")
        return self._vault.subject_key(tenant, id, row[0], row[1] or "")

    def tenant_key(self, connection: Connection, tenant: str) -> Key:
        """Return a tenant's current key; make the tenant's keys where there are none."""
        row = connection.execute(self._own(tenant, "tenant")).first()
        if row is None:
            self.begin(connection, tenant, 1)
            row = connection.execute(self._own(tenant, "tenant")).one()
        return self._vault.tenant_key(tenant, row.id, row.wrapped)

    def passing(self, connection: Connection, tenant: str) -> tuple[Key, str, str]:
        """Return a new key that is kept nowhere; with it the tenant's key and itself, both wrapped, as a cell carries them."""
        row = connection.execute(self._own(tenant, "tenant")).one()
        id_ = fresh_bytes(8).hex()
        wrapped, material = self._vault.new_key(self._vault.tenant_key(tenant, row.id, row.wrapped), tenant, id_, "subject")
        return key_of(id_, material), row.wrapped, wrapped

    def begin(self, connection: Connection, tenant: str, version: int) -> None:
        """Make a tenant's keys of a version, for subjects and for blind indexes, unless somebody else did."""
        id_, index_id = fresh_bytes(8).hex(), fresh_bytes(8).hex()
        wrapped = self._vault.new_tenant_key(tenant, id_)
        key = self._vault.tenant_key(tenant, id_, wrapped)
        index, _ = self._vault.new_key(key, tenant, index_id, "index")
        root = self._vault.provider.describe()["current"]
        if self._add(connection, [self._row(tenant, "tenant", id_, wrapped, parent=root, version=version)]):
            self._add(connection, [self._row(tenant, "index", index_id, index, parent=id_, version=version)])

    def index_keys(self, connection: Connection, tenant: str, *, hold: bool = False) -> list[IndexKey]:
        """Return the keys of a tenant's blind indexes, the current one first; a second one while it is replaced.

        Args:
            hold: keep them from being replaced until the transaction ends, and make them where there are none.
        """
        if hold:
            self.fence(connection, tenant)
        rows = connection.execute(self._own(tenant, "index", OLD)).all()
        if not rows and hold:
            self.tenant_key(connection, tenant)
            rows = connection.execute(self._own(tenant, "index", OLD)).all()
        return [IndexKey(r.version, self._vault.index_key(tenant, r.id, r.wrapped, r.parent_wrapped or "")) for r in rows]

    def fence(self, connection: Connection, tenant: str, *, alone: bool = False) -> None:
        """Keep a tenant's keys from being replaced until the transaction ends; *alone*, wait for all who do.

        SQLite has one writer anyway. PostgreSQL's advisory locks are fair and write nothing, unlike locks of a row that all would share.
        """
        if connection.dialect.name == "postgresql":
            lock = func.pg_advisory_xact_lock if alone else func.pg_advisory_xact_lock_shared
            connection.execute(select(lock(func.hashtextextended(f"{self._table.fullname}:{tenant}", 0))))

    def _own(self, tenant: str, kind: str, *states: str) -> Select[Any]:
        table, parent = self._table, self._table.alias("crm_parent")
        return (
            select(table.c.id, table.c.version, table.c.wrapped, table.c.state, parent.c.wrapped.label("parent_wrapped"))
            .select_from(table.outerjoin(parent, parent.c.id == table.c.parent))
            .where(table.c.tenant == tenant, table.c.kind == kind, table.c.subject == "", table.c.state.in_([CURRENT, *states]))
            .order_by(table.c.version.desc())
        )

    # -- for erasure --------------------------------------------------------------------------------------------------------------

    def shred(self, connection: Connection, tenant: str, subjects: Iterable[str]) -> None:
        """Destroy all keys of *subjects* for good, and let no new ones be made: what was sealed under them is gone, in backups too
        once the keys' rows have aged out of them.
        """
        for subject in sorted(set(subjects)):
            table = self._table
            mine = (table.c.tenant == tenant, table.c.kind == "subject", table.c.subject == subject)
            gone = {"wrapped": None, "state": DESTROYED, "until": self.now()}
            if not connection.execute(update(table).where(*mine).values(gone)).rowcount:
                row = self._row(tenant, "subject", fresh_bytes(8).hex(), None, subject=subject)
                self._add(connection, [row | {"state": DESTROYED, "until": self.now()}])

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def _row(
        self, tenant: str, kind: str, id: str, wrapped: str | None, *, subject: str = "", parent: str | None = None, version: int = 1
    ) -> dict[str, Any]:
        now: datetime = self.now()
        return {
            "id": id, "tenant": tenant, "kind": kind, "subject": subject, "version": version, "parent": parent, "wrapped": wrapped,
            "state": CURRENT, "at": now,
        }  # fmt: skip

    def _add(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
        """Insert rows, but for those that somebody else was quicker with; return how many were."""
        statement = upsert(self._table, connection.dialect.name).on_conflict_do_nothing()
        return int(connection.execute(statement, list(rows)).rowcount)


def required(held: Held, subject: str, entity: str) -> Key:
    """Return a subject's key.

    Raises:
        Refused: ``key_destroyed``.
    """
    key = held[subject]
    if key is None:
        raise Refused("key_destroyed", entity=entity)
    return key
