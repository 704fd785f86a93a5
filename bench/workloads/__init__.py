"""What is measured: one file a workload, named as in the table of docs/explanation/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from bench.measure import Measure

#: In the order they run in: what only reads goes first.
NAMES = ("w4_get", "w5_page", "w6_search", "w12_mapping", "w3_update", "w1_create", "w2_bulk")


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        records: people and deals in the database.
        rows: rows of a bulk.
        seconds, count: length and number of the windows.
    """

    records: int = 100_000
    rows: int = 100_000
    seconds: float = 1.0
    count: int = 5


Workload = Callable[[Any, Scale], Iterator[Measure]]


def workload(name: str) -> Workload:
    """Return a workload's function."""
    found: Workload = import_module(f"bench.workloads.{name}").run
    return found
