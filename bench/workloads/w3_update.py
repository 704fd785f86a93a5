"""W3: one field of a record changes, with its history, in a transaction of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from bench.measure import Measure, windows
from bench.systems.base import System
from bench.workloads import Scale


def run(system: System, scale: Scale) -> Iterator[Measure]:
    """Measure it, each time on another record."""
    ids = cycle(system.ids(1000))
    cities = (f"City {n}" for n in range(100_000_000))
    yield windows("W3", "update", lambda: system.update(next(ids), next(cities)), seconds=scale.seconds, count=scale.count)
