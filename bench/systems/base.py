"""What a system must be able to do to be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from bench.data import Row

Reading = Callable[[str], Any]


class System(Protocol):
    """One way to keep people and deals in an SQLite file, in WAL mode, with ``synchronous`` NORMAL or FULL.

    Every write is a transaction of its own unless it takes a list. Indexes: a person's e-mail, last name and owner; a deal's
    (owner, stage, amount) and (team, stage, amount); a tenant before them where there are tenants.
    """

    #: Ways of ``bulk`` that are measured on a twentieth of the rows.
    slow: frozenset[str]

    def __init__(self, folder: Path, synchronous: str) -> None: ...

    def fill(self, people: int, deals: int) -> None:
        """Put the records in, as quickly as the system can."""
        ...

    def ids(self, count: int) -> Sequence[Any]:
        """Return the ids of some people."""
        ...

    def create(self, row: Row) -> object:
        """W1: validate, check the permission and store a person with its history."""
        ...

    def bulk(self, rows: Sequence[Row]) -> dict[str, Callable[[], object]]:
        """W2: return the ways to store many people in one transaction; those with history say ``audited``."""
        ...

    def update(self, id: Any, city: str) -> object:
        """W3: change one field of a person, with its history."""
        ...

    def readers(self) -> dict[str, Reading]:
        """W4: return the ways to read a person by id, as a user who may see some of them."""
        ...

    def rest(self) -> None:
        """End what :meth:`readers` left open."""
        ...

    def pages(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """W5: return the pages of 50 deals: stage "talks" by amount, as a user who sees their own and their team's."""
        ...

    def searches(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """W6: return the searches for people: by prefix, substring and exactly."""
        ...

    def load(self) -> Sequence[Any]:
        """W12: read all people as objects, in one statement."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...
