"""Measure one system in this process: ``python -m bench.subject OURS.module:Class '{"records": 10000}' w1_create ...`` prints JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.workloads import Scale, workload


def main(where: str, options: str, *names: str) -> None:
    """Fill the system's database and run the workloads, each figure a line."""
    given: dict[str, Any] = json.loads(options)
    synchronous = given.pop("synchronous", "NORMAL")
    scale = Scale(**given)
    module, _, name = where.partition(":")
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        system = getattr(import_module(module), name)(Path(folder), synchronous)
        system.fill(scale.records, scale.records)
        for each in names:
            for measure in workload(each)(system, scale):
                print(json.dumps(measure.plain()), flush=True)
        system.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
