"""The limit: the sqlite3 module on our own tables, with rows and statements ready; nothing is checked and no object is made."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.data import ME, MY_TEAM, Row
from bench.systems.base import Reading
from bench.systems.model import Deal, Person
from bench.systems.ours import PAGE, Ours, _person

AUDIT = ("tenant", "at", "actor", "plugin", "entity", "record", "version", "kind", "format", "payload")


class Raw:
    """See :class:`bench.systems.base.System`. ``create`` and ``bulk`` write the record, an audit row and an outbox row."""

    slow = frozenset[str]()

    def __init__(self, folder: Path, synchronous: str) -> None:
        self._ours = Ours(folder, synchronous)
        self._db = sqlite3.connect(folder / "ours.db", isolation_level=None)
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=1"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, record TEXT, payload TEXT)")
        codec = self._ours.crm.codec(Person)
        self._to_row = codec.to_row
        self._columns = ", ".join(codec.columns)
        self._insert = f"INSERT INTO crm_bench_person ({self._columns}) VALUES ({', '.join('?' * len(codec.columns))})"
        self._audit = f"INSERT INTO crm_journal ({', '.join(AUDIT)}) VALUES ({', '.join('?' * len(AUDIT))})"
        self._outbox = "INSERT INTO outbox (kind, record, payload) VALUES (?, ?, ?)"
        self._ready: list[list[tuple[Any, ...]]] = []

    def fill(self, people: int, deals: int) -> None:
        """Fill as ours does."""
        self._ours.fill(people, deals)

    def ids(self, count: int) -> Sequence[Any]:
        """Return ids of people that the actor sees."""
        return self._ours.ids(count)

    def _rows(self, rows: Sequence[Row]) -> list[list[tuple[Any, ...]]]:
        """Return the three rows of each person, made by our own pipeline's functions."""
        crm = self._ours.crm
        made = []
        for row, id_ in zip(rows, crm.runtime.ids.many(len(rows)), strict=True):
            person = _person(row)
            now = crm.runtime.clock.now()
            person.id, person.tenant, person.version, person.deleted_at = id_, "main", 1, None
            person.created_at = person.updated_at = now
            person.created_by = person.updated_by = ME
            payload = json.dumps(row)
            audit = ("main", now.isoformat(), ME, "", "bench.person", id_, 1, "bench.person.created.v1", 1, payload)
            made.append([self._to_row(person), audit, ("bench.person.created.v1", id_, payload)])
        return made

    def create(self, row: Row) -> object:
        """Three statements in one transaction, of rows made before."""
        if not self._ready:
            self._ready = self._rows([{**row, "email": f"{n}.{row['email']}"} for n in range(20_000)])
        person, audit, outbox = self._ready.pop()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(self._insert, person)
        self._db.execute(self._audit, audit)
        self._db.execute(self._outbox, outbox)
        self._db.execute("COMMIT")
        return None

    def bulk(self, rows: Sequence[Row]) -> dict[str, Callable[[], object]]:
        """One table, and three."""
        made = self._rows(rows)
        return {
            "1 table": lambda: self._bulk(made, (self._insert,)),
            "audited": lambda: self._bulk(made, (self._insert, self._audit, self._outbox)),
        }

    def _bulk(self, made: list[list[tuple[Any, ...]]], statements: Sequence[str]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for start in range(0, len(made), 1000):
            for number, statement in enumerate(statements):
                self._db.executemany(statement, [rows[number] for rows in made[start : start + 1000]])
        self._db.execute("COMMIT")

    def update(self, id: Any, city: str) -> object:
        """Read with the predicate, write, and audit."""
        self._db.execute("BEGIN IMMEDIATE")
        row = self._get(id)
        self._db.execute("UPDATE crm_bench_person SET city = ?, version = version + 1 WHERE id = ?", (city, id))
        payload = json.dumps({"city": [row[-7], city]})
        self._db.execute(
            self._audit, ("main", "2026-01-01T00:00:00+00:00", ME, "", "bench.person", id, 2, "bench.person.updated.v1", 1, payload)
        )
        self._db.execute("COMMIT")
        return None

    def _get(self, id: Any) -> Any:
        statement = f"SELECT {self._columns} FROM crm_bench_person WHERE id = ? AND tenant = ? AND deleted_at IS NULL AND owner = ?"
        return self._db.execute(statement, (id, "main", ME)).fetchone()

    def readers(self) -> dict[str, Reading]:
        """With the predicate in the statement."""
        return {"connection held": self._get}

    def rest(self) -> None:
        """Nothing is open."""

    def pages(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """The floor, 50 rows by their rowids; and the OR of both indexes, as one would write it."""
        columns = ", ".join(self._ours.crm.codec(Deal).columns)
        floor = f"SELECT {columns} FROM crm_bench_deal WHERE rowid IN ({', '.join(str(n * 199 + 1) for n in range(PAGE))})"
        visible = "tenant = 'main' AND deleted_at IS NULL AND (owner = ? OR team = ?)"
        page = f"SELECT {columns} FROM crm_bench_deal WHERE {visible} AND stage = 'talks' ORDER BY amount, id LIMIT {PAGE}"
        return {
            "floor": lambda: self._db.execute(floor).fetchall(),
            "page 1": lambda: self._db.execute(page, (ME, MY_TEAM)).fetchall(),
        }

    def searches(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """LIKE over the table."""
        select = f"SELECT {self._columns} FROM crm_bench_person WHERE"
        return {
            "prefix": lambda: self._db.execute(f"{select} last_name LIKE 'Tanaka77%' LIMIT {PAGE}").fetchall(),
            "substring": lambda: self._db.execute(f"{select} last_name LIKE '%naka77%' OR email LIKE '%naka77%' LIMIT {PAGE}").fetchall(),
            "exact": lambda: self._db.execute(f"{select} tenant = 'main' AND email = 'nobody@example.com'").fetchall(),
        }

    def load(self) -> Sequence[Any]:
        """Tuples."""
        return self._db.execute(f"SELECT {self._columns} FROM crm_bench_person").fetchall()

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self._ours.close()
