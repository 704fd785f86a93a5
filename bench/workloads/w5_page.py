"""W5: a page of 50 visible deals of one stage, by amount."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import Measure, windows
from bench.systems.base import System
from bench.workloads import Scale


def run(system: System, scale: Scale) -> Iterator[Measure]:
    """Measure each page."""
    for case, read in system.pages().items():
        found = len(read())
        measure = windows("W5", case, read, seconds=scale.seconds, count=scale.count)
        measure.extra["rows"] = found
        yield measure
