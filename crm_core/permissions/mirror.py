"""The directory's people kept beside the data, so that SQL can ask who reports to whom; fresh within a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from .actor import Directory
from .members import NOBODY, Members, sync

if TYPE_CHECKING:
    from ..crm import CRM
    from ..storage.unit import Unit

FRESH_SECONDS = 1.0


class Mirror:
    """The members of every tenant that a session asked about."""

    def __init__(self, crm: CRM, directory: Directory | None) -> None:
        self._crm = crm
        self._directory = directory
        self._known: dict[str, tuple[float, Members]] = {}

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
        with self._connection(unit) as connection:
            sync(connection, self._crm.tables.system, tenant, members, self._crm.runtime.clock.now())
        if unit.before or not unit.joined:
            self._known[tenant] = (now, members)
        if self._is_within(unit):
            unit.undone.append(lambda: self.changed(tenant))
        return members

    def changed(self, tenant: str) -> None:
        """Ask the directory again at the next session."""
        self._known.pop(tenant, None)

    def _is_within(self, unit: Unit) -> bool:
        """Say whether to write in the session's own transaction: a host's, or one that holds SQLite's only lock or connection already.

        Anywhere else others would wait for its end, and it perhaps for them.
        """
        bound = self._crm.bound
        if unit.joined:
            return not unit.before
        return bound.kind == "sqlite" and ((unit.begun and unit.write) or (bound.shared and unit.opened))

    @contextmanager
    def _connection(self, unit: Unit) -> Iterator[Connection]:
        if not self._is_within(unit):
            with self._crm.bound.begin(write=True, unlimited=True) as connection:
                yield connection
        elif unit.joined or (unit.begun and unit.write):
            yield unit.connection
        else:
            with self._crm.bound.writable(unit.connection):
                yield unit.connection
