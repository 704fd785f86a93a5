"""``python -m bench``: measure ours, the limit and the peers side by side, and print the ratios. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench.environment import PEERS, peers
from bench.workloads import NAMES

ROOT = Path(__file__).resolve().parent.parent
Figures = dict[tuple[str, str, str], dict[str, float]]


def main() -> None:
    """Run everything that the arguments leave in."""
    given = _arguments()
    figures: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for number in range(given.rounds):
        for system, workload, case, found in _round(given):
            print(f"round {number + 1}  {workload:7}{system:12}{case:42}{found['cpu']:12.2f} us CPU", file=sys.stderr)
            figures.setdefault((workload, case, system), {"wall": [], "cpu": [], "MB": []})
            for name, values in figures[workload, case, system].items():
                values.append(found.get(name, 0.0))
    medians = {key: {name: median(values) for name, values in found.items()} for key, found in figures.items()}
    if given.json:
        rows = [{"workload": w, "case": c, "system": s, **found} for (w, c, s), found in medians.items()]
        Path(given.json).write_text(json.dumps(rows, indent=1))
    _print(given, medians)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("workloads", nargs="*", help="w1_create, w8_hooks, growth ...; all where none is named")
    parser.add_argument("--records", type=int, default=100_000, help="people and deals in the database: 10000, 100000 or 1000000")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the bulk create")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window")
    parser.add_argument("--count", type=int, default=5, help="windows a figure")
    parser.add_argument("--rounds", type=int, default=1, help="times that everything is done, system after system")
    parser.add_argument("--synchronous", choices=("NORMAL", "FULL"), default="NORMAL", help="of SQLite, for all; always in WAL mode")
    parser.add_argument("--no-peers", action="store_true", help="ours and the limit alone")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv-bench", help="where the peers are installed")
    parser.add_argument("--json", help="write the figures to this file too")
    return parser.parse_args()


def _round(given: argparse.Namespace) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    wanted = given.workloads or [*NAMES, "w7_report", "w8_hooks", "w10_csv", "w11_import", "growth"]
    stored = [name for name in NAMES if name in wanted]
    own, foreign = sys.executable, "" if given.no_peers else peers(given.environment)
    jobs: list[tuple[str, str, str, list[str]]] = [
        ("limit", own, "bench.systems.raw:Raw", stored),
        ("ours", own, "bench.systems.ours:Ours", stored),
        ("django", foreign, "bench.systems.django_orm:DjangoORM", stored),
        ("sqlalchemy", foreign, "bench.systems.sqlalchemy_orm:SQLAlchemyORM", stored),
        ("limit", own, "loop", ["w8_hooks", "w10_csv"]),
        ("ours", own, "ours", ["w7_report", "w8_hooks", "w10_csv", "w11_import"]),
        ("pluggy", foreign, "pluggy", ["w8_hooks"]),
        ("blinker", foreign, "blinker", ["w8_hooks"]),
        ("django", foreign, "django", ["w11_import"]),
        ("sqlalchemy", foreign, "sqlalchemy", ["w11_import"]),
        ("ours", own, "ours", ["growth"]),
    ]
    scale = {"records": given.records, "rows": given.rows, "seconds": given.seconds, "count": given.count}
    for system, python, where, names in jobs:
        chosen = [n for n in names if n in wanted]
        if not python or not chosen:
            continue
        options = scale | ({"synchronous": given.synchronous} if ":" in where else {})
        # Not the folder of ours alone: what runs in the peers' environment must find nothing of ours but the bench.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        command = [python, "-m", "bench.subject", where, json.dumps(options), *chosen]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment, cwd=ROOT) as process:
            for line in process.stdout or ():
                found = json.loads(line)
                yield system, found["workload"], found["case"], {**found, **found["extra"]}
        if process.returncode:
            sys.exit(f"{system} failed on {', '.join(chosen)}")


def _print(given: argparse.Namespace, figures: Figures) -> None:
    machine = f"{os.cpu_count()} processors, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    print(f"\n{machine}; SQLite in WAL mode, synchronous={given.synchronous}; {given.records:,} people and deals, bulk of {given.rows:,}")
    print(f"peers: {', '.join(PEERS)}\nmicroseconds of CPU for one; in brackets how many times ours that is\n")
    for workload, case in dict.fromkeys((w, c) for w, c, _ in figures):
        mine = figures.get((workload, case, "ours"))
        cells = []
        for (w, c, system), found in figures.items():
            if (w, c) == (workload, case):
                ratio = f" ({found['cpu'] / mine['cpu']:.2f}x)" if mine and system != "ours" else ""
                cells.append(f"{system} {found['cpu']:.2f}{ratio}")
        print(f"{workload:8}{case:44}{'   '.join(cells)}")


if __name__ == "__main__":
    main()
