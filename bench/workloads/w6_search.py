"""W6: the first 50 people by prefix of the last name, by a part of name or e-mail, by the whole e-mail."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import Measure, windows
from bench.systems.base import System
from bench.workloads import Scale


def run(system: System, scale: Scale) -> Iterator[Measure]:
    """Measure each search."""
    for case, search in system.searches().items():
        found = len(search())
        measure = windows("W6", case, search, seconds=scale.seconds, count=scale.count)
        measure.extra["rows"] = found
        yield measure
