"""W12: what a row costs on its way to an object."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import Measure, windows
from bench.systems.base import System
from bench.workloads import Scale


def run(system: System, scale: Scale) -> Iterator[Measure]:
    """Measure reading all people."""
    yield windows("W12", "load", system.load, seconds=scale.seconds, count=scale.count, per=len(system.load()))
