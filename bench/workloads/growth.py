"""Growth: what more plugins, tenants and records change; ours alone, one field of the question at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.data import ME, people
from bench.measure import Measure, windows
from bench.workloads import Scale


def run(system: str, scale: Scale) -> Iterator[Measure]:
    """Measure creates with 1, 5 and 20 plugins that each have a hook; creates, reads and pages among 1 and 1,000 tenants."""
    from bench.systems.ours import Ours

    for plugins in (1, 5, 20):
        with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
            ours = Ours(Path(folder), "NORMAL", hooks=plugins)
            yield _create(ours, f"create, {plugins} plugins", scale)
            ours.close()
    for tenants in (1, 1000):
        with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
            ours = Ours(Path(folder), "NORMAL")
            each = max(scale.records // tenants, 1)
            for number in range(tenants):
                ours.at(f"t{number}").fill(each, each)
            ours.at("t0")
            yield _create(ours, f"create, {tenants} tenants", scale)
            yield from _reads(ours, f"{tenants} tenants", scale)
            ours.close()


def _create(ours: Any, case: str, scale: Scale) -> Measure:
    rows = people(10_000_000, start=50_000_000, owner=ME)
    return windows("growth", case, lambda: ours.create(next(rows)), seconds=scale.seconds, count=scale.count)


def _reads(ours: Any, among: str, scale: Scale) -> Iterator[Measure]:
    ids, read = cycle(ours.ids(100)), ours.readers()["connecting"]
    yield windows("growth", f"get, {among}", lambda: read(next(ids)), seconds=scale.seconds, count=scale.count)
    page = ours.pages()["sees one"]
    yield windows("growth", f"page of who sees one, {among}", page, seconds=scale.seconds, count=scale.count)
