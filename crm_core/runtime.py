"""Where time, ids and chance come from: a CRM owns one ``Runtime``, so a recorded run can be replayed to the same state."""

from __future__ import annotations

import random
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Protocol, Self

from .classes import frozen
from .errors import Invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Clock(Protocol):
    """Tell the time."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring durations."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class FixedClock:
    """A clock that stands still until it is told to advance: for tests, demos and replay.

    Raises:
        Invalid: ``naive_datetime`` if *start* has no time zone.
    """

    def __init__(self, start: datetime) -> None:
        if start.utcoffset() is None:
            raise Invalid("naive_datetime", field="start")
        self._start = self._now = start.astimezone(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the instant the clock stands at."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds advanced since the start."""
        return (self._now - self._start).total_seconds()

    def advance(self, by: timedelta) -> datetime:
        """Move the clock by *by* and return the new instant."""
        with self._lock:
            self._now += by
            return self._now


class Ids:
    """Make UUIDv7 (RFC 9562, section 5.7): ids that sort by the time they were made.

    Strictly increasing within this object, also within one millisecond and when the clock goes back
    (RFC 9562, section 6.2, method 2: the random part is incremented by a random step). Safe to share between threads.
    """

    # An id's 122 free bits are held as a head (48 bits of milliseconds, 26 random bits), formatted once, and a 48-bit tail, the only
    # part that a step changes.
    _HEAD_RANDOM = 26
    _TAIL = 48
    _BATCH = 4096  # a step is below 2**32, so a batch moves the tail by less than 2**44
    _head: int
    _tail: int
    _prefix: str

    def __init__(self, clock: Clock, source: random.Random) -> None:
        self._clock = clock
        self._random = source
        self._lock = threading.Lock()
        self._restart(0)

    def new(self) -> str:
        """Return the next id."""
        with self._lock:
            self._follow_clock(1)
            self._tail += 1 | self._random.getrandbits(32)  # a step of 0 would give the same id twice
            return f"{self._prefix}{self._tail:012x}"

    def many(self, n: int) -> list[str]:
        """Return the next *n* ids, in order."""
        if n == 1:
            return [self.new()]
        ids: list[str] = []
        with self._lock:
            while len(ids) < n:
                ids += self._batch(min(n - len(ids), self._BATCH))
        return ids

    def _batch(self, n: int) -> list[str]:
        self._follow_clock(n)
        steps = struct.unpack(f"<{n}I", self._random.randbytes(4 * n))
        tails = list(accumulate(map((1).__or__, steps), initial=self._tail))
        self._tail = tails[-1]
        prefix = self._prefix
        return [f"{prefix}{tail:012x}" for tail in tails[1:]]

    def _follow_clock(self, steps: int) -> None:
        milliseconds = (self._clock.now() - _EPOCH) // _MILLISECOND
        if milliseconds > self._head >> self._HEAD_RANDOM:
            self._restart(milliseconds << self._HEAD_RANDOM)
        elif self._tail + (steps << 32) >> self._TAIL:
            self._restart(self._head + 1)

    def _restart(self, head: int) -> None:
        """Begin a new tail under *head*; where its random bits are still zero, draw them."""
        drawn = self._random.getrandbits(self._HEAD_RANDOM + self._TAIL - 1)
        if not head & (1 << self._HEAD_RANDOM) - 1:
            head |= drawn >> self._TAIL - 1
        self._head = head
        self._tail = drawn & (1 << self._TAIL - 1) - 1
        self._prefix = f"{head >> 42:08x}-{head >> 26 & 0xFFFF:04x}-7{head >> 14 & 0xFFF:03x}-{0x8000 | head & 0x3FFF:04x}-"


@frozen
class Runtime:
    """The clock, the ids and the randomness of one CRM.

    ``random`` is for choices (jitter, sampling, demo data). Secrets may be drawn from it in production, where ``system()`` takes it from
    the operating system; a seeded one can be foretold, so a runtime for tests guards nothing. Ids draw from a stream of their own, so
    that drawing a number does not change the ids that follow.
    """

    clock: Clock
    ids: Ids
    random: random.Random

    @classmethod
    def system(cls) -> Self:
        """Return the runtime of production: the machine's clock and the operating system's randomness, which survives a fork."""
        clock, source = SystemClock(), random.SystemRandom()
        return cls(clock, Ids(clock, source), source)

    @classmethod
    def seeded(cls, seed: int | str, *, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), clock: Clock | None = None) -> Self:
        """Return a deterministic runtime: the same *seed* gives the same ids and numbers.

        Args:
            seed: two runtimes of one seed make the *same* ids, so never use two on one database.
            start: where the standing clock begins.
            clock: use this clock instead, for instance a ``FixedClock`` that the caller advances.
        """
        clock = clock or FixedClock(start)
        return cls(clock, Ids(clock, random.Random(f"{seed}/ids")), random.Random(f"{seed}/random"))
