"""The directory's people kept beside the data, so that SQL can ask who reports to whom; fresh within a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
from sqlalchemy import Connection

from .directory import Directory
from .members import NOBODY, Members, sync

if TYPE_CHECKING:
    from ..crm import CRM
    from ..storage.unit import Unit

FRESH_SECONDS = 1.0


@attrs.frozen
class _Answer:
    """What the directory said: when, after how many changes that somebody told of, and in which open transaction."""

    at: float
    members: Members
    changes: int
    mark: object | None


class _Held(threading.local):
    """What a thread was answered in a transaction that is not committed yet, by tenant."""

    def __init__(self) -> None:
        self.answers: dict[str, _Answer] = {}


class Mirror:
    """The members of every tenant that a session asked about."""

    def __init__(self, crm: CRM, directory: Directory | None) -> None:
        self._crm = crm
        self._directory = directory
        self._known: dict[str, _Answer] = {}
        self._held = _Held()
        self._changes: dict[str, int] = {}

    def members(self, tenant: str, unit: Unit) -> Members:
        """Return the tenant's people, asking the directory again where the last answer is older than a second."""
        if self._directory is None:
            return NOBODY
        now, bound = self._crm.runtime.clock.monotonic(), self._crm.bound
        mark, changes = bound.mark(), self._changes.get(tenant, 0)
        known = None if mark is bound.TESTED else self._known.get(tenant)
        last = held = self._held.answers.get(tenant)
        if held is not None and held.mark is not (mark or _joined(unit)):
            held = None
        for each in (held, known):
            if each is not None and each.changes == changes and now - each.at < FRESH_SECONDS:
                return each.members
        answer = _Answer(now, Members.of(self._directory.users(tenant)), changes, mark)
        if held is None and known is not None and known.members.digest == answer.members.digest:
            self._known[tenant] = answer
            return answer.members
        with self._connection(unit) as connection:
            wrote = sync(connection, self._crm.tables.system, tenant, answer.members, self._crm.runtime.clock.now())
        if mark is None:
            # What a transaction found in the tables counts for all; what it wrote there counts for itself, until it has committed.
            here = _joined(unit)
            if here is None or not (wrote or (last is not None and last.mark is here)):
                self._known[tenant] = answer
            else:
                self._held.answers[tenant] = attrs.evolve(answer, mark=here)
        elif mark is not bound.TESTED:
            self._held.answers[tenant] = answer
            bound.committed(lambda: self._keep(tenant, answer))
        if wrote and self._is_within(unit):
            unit.undone.append(lambda: self.changed(tenant))
        return answer.members

    def changed(self, tenant: str) -> None:
        """Ask the directory again at the next session."""
        self._changes[tenant] = self._changes.get(tenant, 0) + 1
        self._known.pop(tenant, None)

    def _keep(self, tenant: str, answer: _Answer) -> None:
        """Remember for all what was answered in a transaction that has committed, unless somebody told of a change since."""
        if answer.changes == self._changes.get(tenant, 0):
            self._known[tenant] = answer

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


def _joined(unit: Unit) -> object | None:
    """Return the transaction that a session works in where it is not its own: a host's, or delivery's."""
    return unit.connection.get_transaction() if unit.joined and not unit.before else None
