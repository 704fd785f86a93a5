"""Denied calls in the journal: who was refused what. Gathered while a session runs, and written behind it, since its own work is undone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import attrs
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import LRUCache

from ..errors import CRMError, Denied
from .writer import JournalRow, Origin

if TYPE_CHECKING:
    from ..crm import CRM
    from ..scope import Scope
    from .unit import Unit

KIND = "core.denied.v1"
# An actor's rows: so many at once, then one each second; what is beyond is counted in the rows to come.
BURST = 30
# Unlike denials that wait to be written; beyond them, an actor's are told as one.
MOST = 1_000
ACTORS = 5_000
_log = logging.getLogger(__name__)


@attrs.frozen
class Denial:
    """What was refused: which call, with which code, for want of which permission, on which entity."""

    call: str
    code: str
    action: str
    entity: str


OTHERS = Denial("", "denied", "", "core")


@attrs.define
class Gathered:
    """Equal denials of one actor through one plugin: how many, and where the last came from."""

    denial: Denial
    origin: Origin
    count: int = 0

    @property
    def key(self) -> tuple[str, ...]:
        origin = self.origin
        return (origin.tenant, origin.actor, origin.on_behalf_of or "", origin.plugin, *attrs.astuple(self.denial))

    def row(self, event: str) -> JournalRow:
        told = attrs.asdict(self.denial)
        return JournalRow(told.pop("entity"), event, 0, KIND, {"id": event, **told, "count": self.count})


class Denials:
    """The denied calls of one transaction."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], Gathered] = {}
        self._last: Denied | None = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def note(self, session: Scope, error: Denied, call: str) -> None:
        """Note an error on its way out; through how many calls it goes, it is one."""
        if error is self._last:
            return
        self._last = error
        action, entity = str(error.params.get("action", "")), str(error.params.get("entity", ""))
        found = Gathered(Denial(call, error.code, action[:127], entity[:127] or "core"), session.origin())
        found = self._found.setdefault(found.key, found)
        found.count += 1

    def taken(self) -> list[Gathered]:
        """Return what was noted, and forget it."""
        found, self._found = list(self._found.values()), {}
        return found


@attrs.define
class _Budget:
    rows: float
    at: datetime

    def take(self, now: datetime) -> bool:
        """Take a row from what is left; say whether there was one."""
        self.rows = min(BURST, self.rows + max(0.0, (now - self.at).total_seconds()))
        self.at = now
        if self.rows < 1:
            return False
        self.rows -= 1
        return True


class DenialLog:
    """Writes the denied calls of one CRM's sessions, bounded, so that who is denied in a loop does not fill the disk."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, ...], Gathered] = {}
        self._budgets: LRUCache[tuple[str, str], _Budget] = LRUCache(ACTORS)

    @contextmanager
    def behind(self, unit: Unit) -> Iterator[None]:
        """Write, behind a transaction of our own, what was denied in it, and what waits from before.

        Where that cannot be done now (the thread is in another session, which may hold SQLite's write lock; the database is read-only),
        it waits for the next session's end.
        """
        try:
            yield
        finally:
            if not unit.joined and (unit.denials or self._waiting) and not self._crm.safe_mode:
                self._keep(unit.denials.taken())

    @contextmanager
    def of(self, session: Scope) -> Iterator[None]:
        """Note a denial that leaves the session; in the host's transaction, write what was denied when all else is undone."""
        unit = session._unit
        try:
            yield
        except Denied as e:
            unit.denials.note(session, e, "")
            raise
        finally:
            if unit.joined and unit.write and unit.denials:
                self._join(unit)

    def _keep(self, found: Sequence[Gathered]) -> None:
        with self._lock:
            self._wait(found)
            if self._crm.sessions.inside and not self._crm.bound.is_async:
                return
            due = self._due(list(self._waiting.values()))
            for each in due:
                del self._waiting[each.key]
        if not due:
            return
        try:
            with self._crm.bound.begin(unlimited=True) as connection:
                self._journal(connection, due)
        except (DBAPIError, CRMError) as e:
            _log.warning("%d denied calls could not be journalled yet", sum(d.count for d in due), exc_info=e)
            with self._lock:
                self._wait(due)

    def _join(self, unit: Unit) -> None:
        with self._lock:
            due = self._due(found := unit.denials.taken())
            self._wait([each for each in found if each not in due])
        try:
            with unit.savepoint():
                self._journal(unit.connection, due)
        except (DBAPIError, CRMError) as e:
            _log.warning("%d denied calls could not be journalled in the host's transaction", len(due), exc_info=e)

    def _wait(self, found: Sequence[Gathered]) -> None:
        for each in found:
            if each.key not in self._waiting and len(self._waiting) >= MOST:
                each.denial = OTHERS
            known = self._waiting.setdefault(each.key, each)
            if known is not each:
                known.count, known.origin = known.count + each.count, each.origin

    def _due(self, found: Sequence[Gathered]) -> list[Gathered]:
        now = self._crm.runtime.clock.now()
        return [each for each in found if self._budget(each.origin, now).take(now)]

    def _budget(self, origin: Origin, now: datetime) -> _Budget:
        key = (origin.tenant, origin.actor)
        if key not in self._budgets:
            self._budgets[key] = _Budget(BURST, now)
        return self._budgets[key]

    def _journal(self, connection: Connection, due: Sequence[Gathered]) -> None:
        for each, event in zip(due, self._crm.runtime.ids.many(len(due)), strict=True):
            self._crm.writer.journal(connection, each.origin, [each.row(event)])
