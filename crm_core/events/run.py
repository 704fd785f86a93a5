"""One run of the deliveries: round after round over the subscriptions, each a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from decimal import localcontext
from functools import partial
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection, select

from ..hooks.surroundings import Surroundings
from . import told
from .calling import BATCH, Caller
from .inside import Inside
from .journal import last_position, read
from .outside import Outside
from .parking import Retry, due
from .sequencer import PASS, sequence, unsequenced
from .subscribers import Subscriber
from .subscription import register

if TYPE_CHECKING:
    from .delivery import DeliveryHost

SHORT = 20  # events of a batch whose time is short


class Begin(Protocol):
    """Opens a transaction; leaving it commits, or rolls back on an error."""

    def __call__(self, *, write: bool = True) -> AbstractContextManager[Connection]: ...


class Server(Protocol):
    """Serves one manner of subscribers; it returns how many deliveries succeeded, None where nothing moved."""

    def batch(self, s: Subscriber, size: int) -> int | None: ...
    def line(self, s: Subscriber, record: str, size: int) -> int | None: ...


class Run:
    """The state of one run: the transactions it works in, and who serves which subscribers."""

    def __init__(self, host: DeliveryHost, retry: Retry, period: timedelta, on: Connection | None = None) -> None:
        self._host = host
        self._tables = host.tables
        self._subscribers: Sequence[Subscriber] = ()
        self._period = period
        self._on = on
        caller = Caller(host, retry)
        self._inside: Server = Inside(caller, self._begin)
        self._outside: Server = Outside(caller, self._begin, period, on)

    def until_done(self, limit: int | None, seconds: float | None = None) -> int:
        """Deliver until nothing is due, others have all that is, or the time is over; return how many deliveries succeeded.

        Args:
            seconds: begin nothing after so many; what is begun at once is little then, since it is done to its end.
        """
        done = 0
        most = BATCH if seconds is None else SHORT
        clock = self._host.runtime.clock
        end = None if seconds is None else clock.monotonic() + seconds
        while work := self._survey():
            moved = False
            for serve in work:
                if (limit is not None and done >= limit) or (end is not None and clock.monotonic() >= end):
                    return done
                count = serve(most if limit is None else min(most, limit - done))
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
            server = self._outside if s.external else self._inside
            work += [partial(self._apart, s, partial(server.line, s, record)) for record in lines.get(s.name, ())]
            if self._is_behind(connection, s, positions[s.name], end):
                work.append(partial(self._apart, s, partial(server.batch, s)))
        return work

    def _is_behind(self, connection: Connection, s: Subscriber, position: int, end: int) -> bool:
        # A position is not moved for every event that a subscriber does not care for: that would be a write each.
        if end - position >= BATCH:
            return True
        return position < end and bool(read(connection, self._tables, after=position, upto=end, limit=1, names=s.events))

    def _apart(self, s: Subscriber, serve: Callable[[int], int | None], size: int) -> int | None:
        """Serve, and see that the subscriber left the process as it found it; the decimal context, the thread's own, is put back."""
        before = Surroundings.now()
        with localcontext():
            done = serve(size)
            for what in before.changed():
                told.changed(s, what)
        return done

    def _now(self) -> datetime:
        return self._host.runtime.clock.now()


def awake(host: DeliveryHost, subscribers: Iterable[Subscriber]) -> list[Subscriber]:
    """Return the subscribers whose plugins are not in quarantine; what is theirs waits, in the journal and in the parking table."""
    return [s for s in subscribers if not host.health.rests(s.plugin)]
