"""One run of the deliveries: round after round over the subscriptions, each a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import localcontext
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, select

from ..errors import LoopDetected
from ..hooks.nesting import handle
from ..hooks.stops import is_the_hosts
from ..hooks.surroundings import Surroundings
from . import told
from .event import Event
from .journal import Entry, at_positions, last_position, read
from .parking import Parking, Retry, due
from .sequencer import PASS, sequence, unsequenced
from .subscription import Claim, Fenced, Subscriber, advance, claim, database_now, lease, register

if TYPE_CHECKING:
    from .delivery import DeliveryHost

BATCH = 500
MAX_CHAIN = 16


@attrs.define
class _Attempt:
    """How far a transaction of deliveries came: what it took, how many events, and the one whose handler ran last."""

    held: Claim | None = None
    size: int = 0
    entered: Entry | None = None


_Work = Callable[[Connection, int, _Attempt], int | None]


class Run:
    """The state of one run: the transactions it works in, and the events it has decoded for all subscribers."""

    def __init__(self, host: DeliveryHost, retry: Retry, period: timedelta, on: Connection | None = None) -> None:
        self._host = host
        self._tables = host.tables
        self._subscribers: Sequence[Subscriber] = ()
        self._retry = retry
        self._period = period
        self._on = on
        self._decoded: dict[int, Event[Any]] = {}

    def until_done(self, limit: int | None) -> int:
        """Deliver until nothing is due, or others have all that is; return how many deliveries succeeded."""
        done = 0
        while work := self._survey():
            moved = False
            for serve in work:
                if limit is not None and done >= limit:
                    return done
                count = serve(BATCH if limit is None else min(BATCH, limit - done))
                moved = moved or count is not None
                done += count or 0
            if not moved:
                break
        return done

    # -- what is to do ------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _begin(self, *, write: bool = True) -> Iterator[Connection]:
        if self._on is not None:
            with self._on.begin_nested():
                yield self._on
            return
        with self._host.begin(write=write) as connection:
            if write and connection.dialect.name == "postgresql":
                # A worker that is stopped, or gone without a word, must not keep its locks.
                milliseconds = int(self._period.total_seconds() * 1000)
                connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds}")
            yield connection

    def _survey(self) -> list[Callable[[int], int | None]]:
        with self._begin(write=False) as connection:
            self._subscribers = self._host.listening(connection)
            new = unsequenced(connection, self._tables)
            positions = self._positions(connection)
            if not new and positions.keys() >= {s.name for s in self._subscribers}:
                return self._work(connection, positions)
        given = PASS if new else 0
        while given == PASS:
            with self._begin() as connection:
                given = sequence(connection, self._tables)
        with self._begin() as connection:
            # A subscription may lack since it is new, or since another process dropped its plugin.
            self._subscribers = self._host.listening(connection, anew=True)
            register(connection, self._tables, self._subscribers, self._now())
            return self._work(connection, self._positions(connection))

    def _positions(self, connection: Connection) -> dict[str, int]:
        table = self._tables.system.subscription
        return {row.name: row.position for row in connection.execute(select(table.c.name, table.c.position))}

    def _work(self, connection: Connection, positions: dict[str, int]) -> list[Callable[[int], int | None]]:
        end = last_position(connection, self._tables)
        lines: dict[str, list[str]] = {}
        subscribers = awake(self._host, self._subscribers)
        for name, record in due(connection, self._tables, [s.name for s in subscribers], self._now()):
            lines.setdefault(name, []).append(record)
        work: list[Callable[[int], int | None]] = []
        for s in subscribers:
            work += [self._line_server(s, record) for record in lines.get(s.name, ())]
            if self._is_behind(connection, s, positions[s.name], end):
                work.append(self._batch_server(s))
        return work

    def _is_behind(self, connection: Connection, s: Subscriber, position: int, end: int) -> bool:
        # A position is not moved for every event that a subscriber does not care for: that would be a write each.
        if end - position >= BATCH:
            return True
        return position < end and bool(read(connection, self._tables, after=position, upto=end, limit=1, names=s.events))

    def _batch_server(self, s: Subscriber) -> Callable[[int], int | None]:
        if s.external:
            return partial(self._apart, s, partial(self._lease_batch, s))
        return partial(self._apart, s, lambda size: self._transact(s, size, lambda c, n, attempt: self._batch(c, s, n, attempt)))

    def _line_server(self, s: Subscriber, record: str) -> Callable[[int], int | None]:
        if s.external:
            return partial(self._apart, s, partial(self._lease_line, s, record))
        return partial(self._apart, s, lambda size: self._transact(s, size, lambda c, n, attempt: self._line(c, s, record, n, attempt)))

    def _apart(self, s: Subscriber, serve: Callable[[int], int | None], size: int) -> int | None:
        """Serve, and see that the subscriber left the process as it found it; the decimal context, the thread's own, is put back."""
        before = Surroundings.now()
        with localcontext():
            done = serve(size)
            for what in before.changed():
                told.changed(s, what)
        return done

    # -- handlers inside the transaction ------------------------------------------------------------------------------------------

    def _transact(self, s: Subscriber, size: int, work: _Work) -> int | None:
        """Do *work* in one transaction. If it fails as a whole after a handler ran, look for the culprit by halves."""
        attempt = _Attempt()
        try:
            with self._begin() as connection:
                return work(connection, size, attempt)
        except Fenced:
            told.fenced(s)
            return None
        except Exception as error:
            if attempt.entered is None:
                raise
            if attempt.size > 1:
                return self._transact(s, attempt.size // 2, work)
            self._blame(s, attempt, error)
            return 0

    def _blame(self, s: Subscriber, attempt: _Attempt, error: Exception) -> None:
        """Park the one event whose transaction failed, unless the failure came after the commit."""
        entry, held = attempt.entered, attempt.held
        assert entry is not None
        assert held is not None
        position = entry.position or 0
        with self._begin() as connection:
            if claim(connection, self._tables, s.name) != held:
                return
            parking = Parking(connection, self._tables, s.name)
            tries = dict(parking.line(entry.record, 1))
            self._failed(parking, s, entry, error, tries.get(position))
            advance(connection, self._tables, held, max(held.position, position), self._now())

    def _batch(self, connection: Connection, s: Subscriber, size: int, attempt: _Attempt) -> int | None:
        held = claim(connection, self._tables, s.name)
        if held is None:
            return None
        entries, end = self._next(connection, s, held, size)
        attempt.held, attempt.size = held, len(entries)
        parking = Parking(connection, self._tables, s.name)
        parked = parking.parked({e.record for e in entries})
        done = 0
        reached = held.position
        if self._waits(s, entries, size):
            return None
        left = entries if len(entries) < size else []
        for group in _groups(s, entries):
            if self._waits(s, left, size):
                end = reached
                break
            left = left[len(group) :]
            done += self._deliver(connection, s, group, parking, parked, attempt)
            reached = group[-1].position or reached
        advance(connection, self._tables, held, end, self._now())
        return done

    def _next(self, connection: Connection, s: Subscriber, held: Claim, size: int) -> tuple[list[Entry], int]:
        """Return the next entries, and the position behind which nothing was looked at."""
        end = last_position(connection, self._tables)
        entries = read(connection, self._tables, after=held.position, upto=end, limit=size, names=s.events)
        if len(entries) == size:
            end = entries[-1].position or end
        return entries, max(end, held.position)

    def _deliver(
        self, connection: Connection, s: Subscriber, group: Sequence[Entry], parking: Parking, parked: set[str], attempt: _Attempt
    ) -> int:
        parking.follow([e for e in group if e.record in parked])
        free = [e for e in group if e.record not in parked]
        if self._host.health.rests(s.plugin, group[0].tenant):
            for entry in free:
                parking.set_aside(entry, parked)
            return 0
        if len(free) > 1 and self._try(connection, s, free, attempt) is None:
            return len(free)
        done = 0
        for entry in free:
            if entry.record in parked:
                parking.follow([entry])
            elif (error := self._try(connection, s, [entry], attempt)) is None:
                done += 1
            elif self._host.health.is_off(s.plugin, entry.tenant):  # somebody switched it off while it worked
                parking.set_aside(entry, parked)
            elif self._failed(parking, s, entry, error):
                parked.add(entry.record)
        return done

    def _waits(self, s: Subscriber, left: Sequence[Entry], size: int) -> bool:
        """Say whether a subscriber rests, or does so for all that is *left* of fewer events than it asked for: nobody waits behind them."""
        health = self._host.health
        if not health.any_rests:
            return False
        return health.rests(s.plugin) or (0 < len(left) < size and all(health.rests(s.plugin, e.tenant) for e in left))

    def _line(self, connection: Connection, s: Subscriber, record: str, size: int, attempt: _Attempt) -> int | None:
        held = claim(connection, self._tables, s.name)
        if held is None:
            return None
        parking = Parking(connection, self._tables, s.name)
        if self._host.health.rests(s.plugin) or not parking.is_due(record, self._now()):
            return 0
        line = parking.line(record, size)
        entries = at_positions(connection, self._tables, [p for p, _ in line])
        if self._host.health.rests(s.plugin, entries[line[0][0]].tenant):
            parking.rest(record)
            return 0
        attempt.held, attempt.size = held, len(line)
        done = 0
        for position, tries in line:
            error = self._try(connection, s, [entries[position]], attempt)
            if error is None:
                parking.remove(record, position)
                done += 1
            elif self._host.health.is_off(s.plugin, entries[position].tenant):
                parking.rest(record)
                break
            elif self._failed(parking, s, entries[position], error, tries):
                break
        else:
            parking.promote(record, self._now())
        advance(connection, self._tables, held, held.position, self._now())
        return done

    def _try(self, connection: Connection, s: Subscriber, entries: Sequence[Entry], attempt: _Attempt) -> BaseException | None:
        attempt.entered = entries[-1]
        try:
            with connection.begin_nested():
                self._call(connection, s, entries)
        except BaseException as error:  # a handler may even call sys.exit
            if connection.invalidated or is_the_hosts(error, s.fn):
                raise
            return error
        return None

    # -- handlers that talk to the outside ----------------------------------------------------------------------------------------

    def _lease_batch(self, s: Subscriber, size: int) -> int | None:
        with self._begin() as connection:
            held = lease(connection, self._tables, s.name, self._period)
            if held is None:
                return None
            entries, end = self._next(connection, s, held, size)
            parked = Parking(connection, self._tables, s.name).parked({e.record for e in entries})
        try:
            done = 0
            began = held.position
            for n, entry in enumerate(entries):
                if self._waits(s, entries[n:] if len(entries) < size else [], size):
                    end = held.position
                    break
                rests = self._host.health.rests(s.plugin, entry.tenant)
                error = None if rests or entry.record in parked else self._call_outside(s, entry)
                with self._begin() as connection:
                    parking = Parking(connection, self._tables, s.name)
                    if rests or entry.record in parked:
                        parking.set_aside(entry, parked)
                    elif error is None:
                        done += 1
                    elif self._failed(parking, s, entry, error):
                        parked.add(entry.record)
                    held = self._renew(connection, held, entry.position or held.position)
            with self._begin() as connection:
                advance(connection, self._tables, held, end, self._now())
        except Fenced:
            told.fenced(s)
            return None
        return done if end > began else None

    def _lease_line(self, s: Subscriber, record: str, size: int) -> int | None:
        with self._begin() as connection:
            held = lease(connection, self._tables, s.name, self._period)
            if held is None:
                return None
            parking = Parking(connection, self._tables, s.name)
            ready = not self._host.health.rests(s.plugin) and parking.is_due(record, self._now())
            line = parking.line(record, size) if ready else []
            entries = at_positions(connection, self._tables, [p for p, _ in line])
            if line and self._host.health.rests(s.plugin, entries[line[0][0]].tenant):
                parking.rest(record)
                line = []
        try:
            done = 0
            for position, tries in line:
                error = self._call_outside(s, entries[position])
                with self._begin() as connection:
                    parking = Parking(connection, self._tables, s.name)
                    held = self._renew(connection, held, held.position)
                    if error is None:
                        parking.remove(record, position)
                        done += 1
                    elif self._failed(parking, s, entries[position], error, tries):
                        break
                    parking.promote(record, self._now())
            with self._begin() as connection:
                advance(connection, self._tables, held, held.position, self._now())
        except Fenced:
            told.fenced(s)
            return None
        return done

    def _renew(self, connection: Connection, held: Claim, position: int) -> Claim:
        until = database_now(connection) + self._period
        return advance(connection, self._tables, held, position, self._now(), until=until)

    def _call_outside(self, s: Subscriber, entry: Entry) -> BaseException | None:
        try:
            self._call(self._on, s, [entry])
        except BaseException as error:  # a handler may even call sys.exit
            if is_the_hosts(error, s.fn):
                raise
            return error
        return None

    # -- one call -----------------------------------------------------------------------------------------------------------------

    def _call(self, connection: Connection | None, s: Subscriber, entries: Sequence[Entry]) -> None:
        first = entries[0]
        chain = (*max((e.chain for e in entries), key=len), f"{first.kind} > {s.name}")
        if len(chain) > MAX_CHAIN:
            raise LoopDetected(chain=list(chain))
        actor = self._host.service_actor(s.plugin, tenant=first.tenant, on_behalf_of=first.on_behalf_of or first.actor)
        with self._host.open_session(connection, actor, chain=chain) as session:
            if s.raw:
                s.fn(session, entries)
                return
            seen = [e for e in (self._host.project(session, self._event(entry)) for entry in entries) if e is not None]
            call = partial(session.hooks.function(s), session) if connection is None else partial(handle, session.hooks, s, session)
            for given in ([seen] if seen else []) if s.batch else seen:
                call(given)
        self._host.health.succeeded(s, first.tenant)

    def _event(self, entry: Entry) -> Event[Any]:
        position = entry.position or 0
        found = self._decoded.get(position)
        if found is None:
            if len(self._decoded) >= 4 * BATCH:
                self._decoded.clear()
            found = self._decoded[position] = self._host.event_codec.decode(entry)
        return found

    def _failed(self, parking: Parking, s: Subscriber, entry: Entry, error: BaseException, tries: int | None = None) -> bool:
        """Park an event that failed, for the first time or (after so many *tries*) again; say whether its line stands."""
        if not s.external and not s.raw:  # outside it is mostly the other side that fails, and the core does not rest
            self._host.health.failed(s, error, type(error).__name__, entry.tenant, self._decoded.get(entry.position or 0))
        attempts = (tries or 0) + 1
        last = attempts >= self._retry.tries or isinstance(error, LoopDetected)
        error = told.fit(parking.connection, self._tables, self._decoded.get(entry.position or 0), error)
        told.failed(s, entry, error, attempts, words=self._tables.sealer is None)
        if last and s.on_failure == "skip":
            if tries is not None:
                parking.remove(entry.record, entry.position)
            return False
        next_try = None if last else self._now() + self._retry.delay(attempts, self._host.runtime.random)
        if tries is None:
            parking.start(entry, attempts, next_try, error)
        else:
            parking.postpone(entry.record, entry.position or 0, attempts, next_try, error)
        return True

    def _now(self) -> datetime:
        return self._host.runtime.clock.now()


def awake(host: DeliveryHost, subscribers: Iterable[Subscriber]) -> list[Subscriber]:
    """Return the subscribers whose plugins are not in quarantine; what is theirs waits, in the journal and in the parking table."""
    return [s for s in subscribers if not host.health.rests(s.plugin)]


def _groups(s: Subscriber, entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Cut entries into what one call may get: one event, or neighbours of one tenant and actor."""
    if not s.batch:
        return ([e] for e in entries)
    return (list(group) for _, group in groupby(entries, key=lambda e: (e.tenant, e.on_behalf_of or e.actor)))
