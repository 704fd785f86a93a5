"""Windows of time and what happened in them: operations a second, and the processor's microseconds for each."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Measure:
    """One figure.

    Attributes:
        workload: its name, like ``W1``.
        case: what of it.
        wall, cpu: microseconds for one operation, one row or one object: on the clock, and of this process (user and system).
        extra: other figures of the case, like megabytes.
    """

    workload: str
    case: str
    wall: float
    cpu: float
    extra: dict[str, float]

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def windows(workload: str, case: str, call: Callable[[], object], *, seconds: float, count: int = 5, per: int = 1) -> Measure:
    """Call again and again in *count* windows of *seconds* and take the medians, for one of the *per* things that a call does."""
    call()
    found = []
    for _ in range(count):
        gc.collect()
        calls, begin, cpu = 0, time.perf_counter(), time.process_time()
        while (passed := time.perf_counter() - begin) < seconds or not calls:
            call()
            calls += 1
        found.append((passed / calls, (time.process_time() - cpu) / calls))
    wall, used = (median(values) * 1e6 / per for values in zip(*found, strict=True))
    return Measure(workload, case, wall, used, {})


def once(workload: str, case: str, call: Callable[[], object], *, per: int) -> Measure:
    """Call once; with the memory that the process took on top of what it had, in megabytes."""
    gc.collect()
    before = _peak()
    begin, cpu = time.perf_counter(), time.process_time()
    call()
    wall, used = time.perf_counter() - begin, time.process_time() - cpu
    return Measure(workload, case, wall * 1e6 / per, used * 1e6 / per, {"MB": _peak() - before})


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
