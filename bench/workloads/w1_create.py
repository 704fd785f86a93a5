"""W1: a single create in a transaction of its own: validated, permitted, with its history."""

from __future__ import annotations

from collections.abc import Iterator

from bench.data import ME, people
from bench.measure import Measure, windows
from bench.systems.base import System
from bench.workloads import Scale


def run(system: System, scale: Scale) -> Iterator[Measure]:
    """Measure it."""
    rows = people(10_000_000, start=50_000_000, owner=ME)
    yield windows("W1", "create", lambda: system.create(next(rows)), seconds=scale.seconds, count=scale.count)
