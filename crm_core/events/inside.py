"""Handlers inside the transaction: a batch of events, their effects and the subscription's new position are committed together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from math import inf
from typing import TYPE_CHECKING

import attrs
from sqlalchemy import Connection

from ..hooks.stops import is_the_hosts
from . import told
from .calling import Caller
from .journal import Entry, at_positions
from .parking import Parking
from .subscribers import Subscriber
from .subscription import Claim, Fenced, advance, claim

if TYPE_CHECKING:
    from .run import Begin

LONGEST = 0.05
"""Seconds after which a batch on SQLite begins no further event: all who write wait for its end."""


@attrs.define
class _Attempt:
    """How far a transaction of deliveries came: what it took, how many events, and the one whose handler ran last."""

    held: Claim | None = None
    size: int = 0
    entered: Entry | None = None


_Work = Callable[[Connection, int, _Attempt], int | None]


class Inside:
    """Serves subscribers whose effects are in the same database: exactly once. One that is slow is given no more than it has time for."""

    def __init__(self, caller: Caller, begin: Begin) -> None:
        self._caller = caller
        self._begin = begin
        self._tables = caller.tables
        self._clock = caller.host.runtime.clock
        self._paces: dict[str, int] = {}

    def batch(self, s: Subscriber, size: int) -> int | None:
        """Deliver the next events, at most *size*; return how many succeeded, None where another worker has the subscription."""
        size = min(size, self._paces.get(s.name, size))
        return self._transact(s, size, lambda connection, n, attempt: self._batch(connection, s, n, attempt))

    def line(self, s: Subscriber, record: str, size: int) -> int | None:
        """Deliver what is parked of a record, as :meth:`batch`."""
        return self._transact(s, size, lambda connection, n, attempt: self._line(connection, s, record, n, attempt))

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
            self._caller.failed(parking, s, entry, error, tries.get(position))
            advance(connection, self._tables, held, max(held.position, position), self._caller.now())

    def _batch(self, connection: Connection, s: Subscriber, size: int, attempt: _Attempt) -> int | None:
        held = claim(connection, self._tables, s.name)
        if held is None:
            return None
        began = self._clock.monotonic()
        entries, end = self._caller.next(connection, s, held, size)
        attempt.held, attempt.size = held, len(entries)
        parking = Parking(connection, self._tables, s.name)
        parked = parking.parked({e.record for e in entries})
        done = 0
        reached = held.position
        if self._caller.waits(s, entries, size):
            return None
        left = entries if len(entries) < size else []
        dealt, late, longest = 0, False, LONGEST if connection.dialect.name == "sqlite" else inf
        for group in _groups(s, entries):
            late = dealt > 0 and self._clock.monotonic() - began > longest
            if late or self._caller.waits(s, left, size):
                end = reached
                break
            left = left[len(group) :]
            dealt += len(group)
            done += self._deliver(connection, s, group, parking, parked, attempt)
            reached = group[-1].position or reached
        self._paces[s.name] = dealt if late else 2 * size
        advance(connection, self._tables, held, end, self._caller.now())
        return done

    def _deliver(
        self, connection: Connection, s: Subscriber, group: Sequence[Entry], parking: Parking, parked: set[str], attempt: _Attempt
    ) -> int:
        parking.follow([e for e in group if e.record in parked])
        free = [e for e in group if e.record not in parked]
        if self._caller.rests(s, group[0]):
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
            elif self._caller.host.health.is_off(s.plugin, entry.tenant):  # somebody switched it off while it worked
                parking.set_aside(entry, parked)
            elif self._caller.failed(parking, s, entry, error):
                parked.add(entry.record)
        return done

    def _line(self, connection: Connection, s: Subscriber, record: str, size: int, attempt: _Attempt) -> int | None:
        held = claim(connection, self._tables, s.name)
        if held is None:
            return None
        parking = Parking(connection, self._tables, s.name)
        if self._caller.host.health.rests(s.plugin) or not parking.is_due(record, self._caller.now()):
            return 0
        line = parking.line(record, size)
        entries = at_positions(connection, self._tables, [p for p, _ in line])
        if self._caller.rests(s, entries[line[0][0]]):
            parking.rest(record)
            return 0
        attempt.held, attempt.size = held, len(line)
        done = 0
        for position, tries in line:
            error = self._try(connection, s, [entries[position]], attempt)
            if error is None:
                parking.remove(record, position)
                done += 1
            elif self._caller.host.health.is_off(s.plugin, entries[position].tenant):
                parking.rest(record)
                break
            elif self._caller.failed(parking, s, entries[position], error, tries):
                break
        else:
            parking.promote(record, self._caller.now())
        advance(connection, self._tables, held, held.position, self._caller.now())
        return done

    def _try(self, connection: Connection, s: Subscriber, entries: Sequence[Entry], attempt: _Attempt) -> BaseException | None:
        attempt.entered = entries[-1]
        try:
            self._caller.call(connection, s, entries)
        except BaseException as error:  # a handler may even call sys.exit
            if connection.invalidated or is_the_hosts(error, s.fn):
                raise
            return error
        return None


def _groups(s: Subscriber, entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Cut entries into what one call may get: one event, or neighbours of one tenant and actor."""
    if not s.batch:
        return ([e] for e in entries)
    return (list(group) for _, group in groupby(entries, key=lambda e: (e.tenant, e.on_behalf_of or e.actor)))
