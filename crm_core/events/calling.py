"""One call of a subscriber: its session, the event as it may see it, and what becomes of an event that it fails at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ..errors import LoopDetected
from ..hooks.nesting import handle
from . import told
from .event import Event
from .journal import Entry, last_position, read
from .parking import Parking, Retry
from .subscribers import Subscriber
from .subscription import Claim

if TYPE_CHECKING:
    from .delivery import DeliveryHost

BATCH = 500
MAX_CHAIN = 16


class Caller:
    """Calls subscribers for one run; an event is decoded once for all of them."""

    def __init__(self, host: DeliveryHost, retry: Retry) -> None:
        self.host = host
        self.tables = host.tables
        self._retry = retry
        self._decoded: dict[int, Event[Any]] = {}

    def now(self) -> datetime:
        """Return the time."""
        return self.host.runtime.clock.now()

    def rests(self, s: Subscriber, entry: Entry) -> bool:
        """Say whether a subscriber does not work in an entry's tenant."""
        return self.host.health.rests(s.plugin, entry.tenant)

    def waits(self, s: Subscriber, left: Sequence[Entry], size: int) -> bool:
        """Say whether a subscriber rests, or does so for all that is *left* of fewer events than it asked for: nobody waits behind them."""
        health = self.host.health
        if not health.any_rests:
            return False
        return health.rests(s.plugin) or (0 < len(left) < size and all(health.rests(s.plugin, e.tenant) for e in left))

    def next(self, connection: Connection, s: Subscriber, held: Claim, size: int) -> tuple[list[Entry], int]:
        """Return the next entries, and the position behind which nothing was looked at."""
        end = last_position(connection, self.tables)
        entries = read(connection, self.tables, after=held.position, upto=end, limit=size, names=s.events)
        if len(entries) == size:
            end = entries[-1].position or end
        return entries, max(end, held.position)

    def call(self, connection: Connection | None, s: Subscriber, entries: Sequence[Entry]) -> None:
        """Hand entries of one tenant and actor to a subscriber, which works in a part of *connection*'s transaction, or in its own."""
        first = entries[0]
        longest = first.chain if len(entries) == 1 else max((e.chain for e in entries), key=len)
        chain = (*longest, f"{first.kind} > {s.name}")
        if len(chain) > MAX_CHAIN:
            raise LoopDetected(chain=list(chain))
        actor = self.host.service_actor(s.plugin, tenant=first.tenant, on_behalf_of=first.on_behalf_of or first.actor)
        with self.host.open_session(connection, actor, chain=chain) as session:
            if s.raw:
                s.fn(session, entries)
                return
            seen = [shown for entry in entries if (shown := self.host.project(session, self._event(entry))) is not None]
            call = session.hooks.function(s) if connection is None else partial(handle, session.hooks, s)
            for given in ([seen] if seen else []) if s.batch else seen:
                call(session, given)
        self.host.health.succeeded(s, first.tenant)

    def _event(self, entry: Entry) -> Event[Any]:
        position = entry.position or 0
        found = self._decoded.get(position)
        if found is None:
            if len(self._decoded) >= 4 * BATCH:
                self._decoded.clear()
            found = self._decoded[position] = self.host.event_codec.decode(entry)
        return found

    def failed(self, parking: Parking, s: Subscriber, entry: Entry, error: BaseException, tries: int | None = None) -> bool:
        """Park an event that failed, for the first time or (after so many *tries*) again; say whether its line stands."""
        if not s.external and not s.raw:  # outside it is mostly the other side that fails, and the core does not rest
            self.host.health.failed(s, error, type(error).__name__, entry.tenant, self._decoded.get(entry.position or 0))
        attempts = (tries or 0) + 1
        last = attempts >= self._retry.tries or isinstance(error, LoopDetected)
        error = told.fit(parking.connection, self.tables, self._decoded.get(entry.position or 0), error)
        told.failed(s, entry, error, attempts, words=self.tables.sealer is None)
        if last and s.on_failure == "skip":
            if tries is not None:
                parking.remove(entry.record, entry.position)
            return False
        next_try = None if last else self.now() + self._retry.delay(attempts, self.host.runtime.random)
        if tries is None:
            parking.start(entry, attempts, next_try, error)
        else:
            parking.postpone(entry.record, entry.position or 0, attempts, next_try, error)
        return True
