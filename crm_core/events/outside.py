"""Handlers that talk to the outside: they run under a lease, without an open transaction, and each event's end is committed alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ..hooks.stops import is_the_hosts
from . import told
from .calling import Caller
from .journal import Entry, at_positions
from .parking import Parking
from .subscribers import Subscriber
from .subscription import Claim, Fenced, advance, database_now, lease

if TYPE_CHECKING:
    from .run import Begin


class Outside:
    """Serves subscribers whose effects are elsewhere: at least once, with the event's id to know it by.

    Args:
        period: how long a lease runs without a sign of life.
        on: the open transaction of a test, in which sessions work; None for their own.
    """

    def __init__(self, caller: Caller, begin: Begin, period: timedelta, on: Connection | None) -> None:
        self._caller = caller
        self._begin = begin
        self._tables = caller.tables
        self._period = period
        self._on = on

    def batch(self, s: Subscriber, size: int) -> int | None:
        """Deliver the next events, at most *size*; return how many succeeded, None where another worker has the subscription."""
        with self._begin() as connection:
            held = lease(connection, self._tables, s.name, self._period)
            if held is None:
                return None
            entries, end = self._caller.next(connection, s, held, size)
            parked = Parking(connection, self._tables, s.name).parked({e.record for e in entries})
        try:
            done = 0
            began = held.position
            for n, entry in enumerate(entries):
                if self._caller.waits(s, entries[n:] if len(entries) < size else [], size):
                    end = held.position
                    break
                rests = self._caller.rests(s, entry)
                error = None if rests or entry.record in parked else self._call(s, entry)
                with self._begin() as connection:
                    parking = Parking(connection, self._tables, s.name)
                    if rests or entry.record in parked:
                        parking.set_aside(entry, parked)
                    elif error is None:
                        done += 1
                    elif self._caller.failed(parking, s, entry, error):
                        parked.add(entry.record)
                    held = self._renew(connection, held, entry.position or held.position)
            with self._begin() as connection:
                advance(connection, self._tables, held, end, self._caller.now())
        except Fenced:
            told.fenced(s)
            return None
        return done if end > began else None

    def line(self, s: Subscriber, record: str, size: int) -> int | None:
        """Deliver what is parked of a record, as :meth:`batch`."""
        with self._begin() as connection:
            held = lease(connection, self._tables, s.name, self._period)
            if held is None:
                return None
            parking = Parking(connection, self._tables, s.name)
            ready = not self._caller.host.health.rests(s.plugin) and parking.is_due(record, self._caller.now())
            line = parking.line(record, size) if ready else []
            entries = at_positions(connection, self._tables, [p for p, _ in line])
            if line and self._caller.rests(s, entries[line[0][0]]):
                parking.rest(record)
                line = []
        try:
            done = 0
            for position, tries in line:
                error = self._call(s, entries[position])
                with self._begin() as connection:
                    parking = Parking(connection, self._tables, s.name)
                    held = self._renew(connection, held, held.position)
                    if error is None:
                        parking.remove(record, position)
                        done += 1
                    elif self._caller.failed(parking, s, entries[position], error, tries):
                        break
                    parking.promote(record, self._caller.now())
            with self._begin() as connection:
                advance(connection, self._tables, held, held.position, self._caller.now())
        except Fenced:
            told.fenced(s)
            return None
        return done

    def _renew(self, connection: Connection, held: Claim, position: int) -> Claim:
        until = database_now(connection) + self._period
        return advance(connection, self._tables, held, position, self._caller.now(), until=until)

    def _call(self, s: Subscriber, entry: Entry) -> BaseException | None:
        try:
            self._caller.call(self._on, s, [entry])
        except BaseException as error:  # a handler may even call sys.exit
            if is_the_hosts(error, s.fn):
                raise
            return error
        return None
