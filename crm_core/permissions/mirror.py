"""The directory's people kept beside the data, so that SQL can ask who reports to whom; fresh within a second."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from .actor import Directory
from .members import Members, sync

if TYPE_CHECKING:
    from ..crm import CRM
    from ..storage.unit import Unit

FRESH_SECONDS = 1.0
NOBODY = Members.of(())


class Mirror:
    """The members of every tenant that a session asked about."""

    def __init__(self, crm: CRM, directory: Directory | None) -> None:
        self._crm = crm
        self._directory = directory
        self._known: dict[str, tuple[float, Members]] = {}
        self._lock = Lock()

    def members(self, tenant: str, unit: Unit) -> Members:
        """Return the tenant's people, asking the directory again where the last answer is older than a second."""
        if self._directory is None:
            return NOBODY
        now = self._crm.runtime.clock.monotonic()
        known = self._known.get(tenant)
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1]
        members = Members.of(self._directory.users(tenant))
        if known is not None and known[1].digest == members.digest:
            self._known[tenant] = (now, members)
            return members
        with self._lock, self._connection(unit) as connection:
            sync(connection, self._crm.tables.system, tenant, members, self._crm.runtime.clock.now())
        if not unit.joined:
            self._known[tenant] = (now, members)
        return members

    def changed(self, tenant: str) -> None:
        """Ask the directory again at the next session."""
        self._known.pop(tenant, None)

    def _connection(self, unit: Unit) -> AbstractContextManager[Connection]:
        """Write in a transaction of our own; in a host's transaction (it may hold the write lock) in that one."""
        return nullcontext(unit.connection) if unit.joined or unit.begun else self._crm.bound.begin(write=True)
