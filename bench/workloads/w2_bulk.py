"""W2: many creates in one transaction, and the memory they take."""

from __future__ import annotations

from collections.abc import Iterator

from bench.data import ME, people
from bench.measure import Measure, once
from bench.systems.base import System
from bench.workloads import Scale


def run(system: System, scale: Scale) -> Iterator[Measure]:
    """Measure each way; the rows are there before, so that the memory is what the system adds."""
    for number, case in enumerate(system.bulk([])):
        # What takes milliseconds for a row is measured on fewer.
        count = scale.rows // 20 if case in system.slow else scale.rows
        rows = list(people(count, start=100_000_000 + 10_000_000 * number, owner=ME))
        yield once("W2", case, system.bulk(rows)[case], per=len(rows))
