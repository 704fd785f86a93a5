"""W10: a CSV file into SQLite: through the import, audited, and bare, by the csv and sqlite3 modules alone."""

from __future__ import annotations

import csv
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.data import people
from bench.measure import Measure, once
from bench.workloads import Scale

#: What the person of the comparison has indexes on.
INDEXES = ("last_name", "email", "owner")


def run(system: str, scale: Scale) -> Iterator[Measure]:
    """Measure one import of all rows, and the memory it takes."""
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        path = Path(folder) / "people.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            for n, row in enumerate(people(scale.rows)):
                if n == 0:
                    writer.writerow(row)
                writer.writerow(row.values())
        yield (_ours if system == "ours" else _bare)(path, scale.rows)


def _ours(path: Path, rows: int) -> Measure:
    from bench.systems.ours import Ours
    from crm_core import Actor
    from crm_core.io import Importer, mapping_of

    ours = Ours(path.parent, "NORMAL")
    columns = next(iter(people(1))).keys()
    mapping = mapping_of({"entity": "bench.person", "fields": {name: name for name in columns}})
    importer = Importer(ours.crm, Actor.system("bench", tenant="main"), mapping)
    found = once("W10", "CSV import", lambda: importer.run(path), per=rows)
    ours.close()
    return found


def _bare(path: Path, rows: int) -> Measure:
    database = sqlite3.connect(path.with_suffix(".db"), isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        database.execute(f"PRAGMA {pragma}")

    def load() -> None:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            columns = next(reader)
            database.execute(f"CREATE TABLE person (id INTEGER PRIMARY KEY, {', '.join(columns)})")
            for column in INDEXES:
                database.execute(f"CREATE INDEX person_{column} ON person ({column})")
            database.execute("BEGIN IMMEDIATE")
            marks = ", ".join("?" * len(columns))
            database.executemany(f"INSERT INTO person ({', '.join(columns)}) VALUES ({marks})", reader)
            database.execute("COMMIT")

    found = once("W10", "CSV import", load, per=rows)
    database.close()
    return found
