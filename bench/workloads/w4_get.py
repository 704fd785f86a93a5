"""W4: a record by its id, as a user who may see some."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import cycle

from bench.measure import Measure, windows
from bench.systems.base import Reading, System
from bench.workloads import Scale


def run(system: System, scale: Scale) -> Iterator[Measure]:
    """Measure each way of reading."""
    for case, read in system.readers().items():
        ids = cycle(system.ids(1000))
        yield windows("W4", case, partial(_next, read, ids), seconds=scale.seconds, count=scale.count)
    system.rest()  # SQLite cannot empty its log while somebody reads


def _next(read: Reading, ids: cycle[object]) -> None:
    assert read(next(ids)) is not None  # type: ignore[arg-type]  # a system's own kind of id
