"""Measure one system in this process, each figure a line of JSON.

``python -m bench.subject bench.systems.ours:Ours '{"records": 10000}' w1_create`` fills a database and runs workloads on it;
``python -m bench.subject pluggy '{}' w8_hooks`` runs one that needs no database.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.workloads import Scale, workload


def main(where: str, options: str, *names: str) -> None:
    """Run the workloads on a system."""
    given: dict[str, Any] = json.loads(options)
    synchronous = given.pop("synchronous", "NORMAL")
    scale = Scale(**given)
    module, colon, name = where.partition(":")
    if not colon:
        _report(names, where, scale)
        return
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        system = getattr(import_module(module), name)(Path(folder), synchronous)
        system.fill(scale.records, scale.records)
        _report(names, system, scale)
        system.close()


def _report(names: Sequence[str], system: Any, scale: Scale) -> None:
    for name in names:
        for measure in workload(name)(system, scale):
            print(json.dumps(measure.plain()), flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # of an affected SQLite; in a process of its own
    main(*sys.argv[1:])
