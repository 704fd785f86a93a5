"""The parking table: an event that fails waits there, and its record's later events behind it, while all others flow.

A line is what one subscription has parked of one record, in order. Its head is ``waiting`` for its next try, ``held`` until somebody
decides, or ``resting`` until its plugin's quarantine in the record's tenant ends; what stands behind the head is ``behind``. Whoever
changes a line holds the subscription's claim.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, delete, func, insert, select, update

from ..errors import LoopDetected, NotFound
from ..messages import wordless
from .journal import Entry
from .subscription import fence

if TYPE_CHECKING:
    from ..storage.tables import Tables

ERROR_LENGTH = 2_000


@attrs.frozen
class Retry:
    """How often a failing event is tried, and how long it waits: *first*, doubled each time up to *cap*, shortened by chance up to
    half so that many do not come back at once."""

    tries: int = 8
    first: timedelta = timedelta(seconds=2)
    cap: timedelta = timedelta(hours=1)

    def delay(self, attempts: int, random: Random) -> timedelta:
        """Return the wait after so many failed attempts."""
        doubled: timedelta = self.first * 2.0 ** min(attempts - 1, 30)
        return min(self.cap, doubled) * random.uniform(0.5, 1.0)


@attrs.frozen
class ParkedLine:
    """What one subscription has parked of one record.

    Attributes:
        position: of the head, the event that failed.
        attempts: how often it was tried.
        next_try: when it is tried again; None where the line is held or rests.
        state: ``waiting``, ``held`` or ``resting``.
        error: what its last try raised.
        behind: how many later events wait behind it.
    """

    subscription: str
    record: str
    position: int
    attempts: int
    next_try: datetime | None
    state: str
    error: str
    behind: int


def describe(error: BaseException, *, words: bool = True) -> str:
    """Write an error as the table keeps it; without its *words*, by :func:`wordless`."""
    if not words:
        return wordless(error)[:ERROR_LENGTH]
    text = "\n".join(error.params["chain"]) if isinstance(error, LoopDetected) else str(error)
    return f"{type(error).__name__}: {text}"[:ERROR_LENGTH].replace("\x00", "\N{REPLACEMENT CHARACTER}")


class Parking:
    """The lines of one subscription, in one transaction."""

    def __init__(self, connection: Connection, tables: Tables, subscription: str) -> None:
        self.connection = connection
        self._table = tables.system.parking
        self._words = tables.sealer is None
        self._subscription = subscription

    def _mine(self, record: str) -> Any:
        return (self._table.c.subscription == self._subscription) & (self._table.c.record == record)

    def parked(self, records: Collection[str]) -> set[str]:
        """Return which of *records* have a line."""
        if not records:
            return set()
        table = self._table
        statement = select(table.c.record).where(table.c.subscription == self._subscription, table.c.record.in_(sorted(records))).distinct()
        return set(self.connection.execute(statement).scalars())

    def is_due(self, record: str, now: datetime) -> bool:
        """Say whether the head of a line may be tried."""
        table = self._table
        statement = select(table.c.position).where(self._mine(record), table.c.state == "waiting", table.c.next_try <= now)
        return self.connection.execute(statement.limit(1)).scalar() is not None

    def line(self, record: str, limit: int) -> list[tuple[int, int]]:
        """Return position and attempts of the first *limit* events of a line."""
        table = self._table
        statement = select(table.c.position, table.c.attempts).where(self._mine(record)).order_by(table.c.position).limit(limit)
        return [(row.position, row.attempts) for row in self.connection.execute(statement)]

    def follow(self, entries: Sequence[Entry]) -> None:
        """Put events behind the heads of their lines."""
        rows = [self._row(e.record, e.position, 0, None, None, "behind") for e in entries]
        if rows:
            self.connection.execute(insert(self._table), rows)

    def start(self, entry: Entry, attempts: int, next_try: datetime | None, error: BaseException) -> None:
        """Begin a line with an event that failed; without a next try the line is held."""
        state = "held" if next_try is None else "waiting"
        told = describe(error, words=self._words)
        self.connection.execute(insert(self._table), [self._row(entry.record, entry.position, attempts, next_try, told, state)])

    def set_aside(self, entry: Entry, parked: set[str]) -> None:
        """Park an event that is not tried, since its plugin rests in its tenant; *parked* are the records that have a line."""
        if entry.record in parked:
            self.follow([entry])
            return
        self.connection.execute(insert(self._table), [self._row(entry.record, entry.position, 0, None, None, "resting")])
        parked.add(entry.record)

    def rest(self, record: str) -> None:
        """Let the head of a line rest, with the tries that it had."""
        statement = update(self._table).where(self._mine(record), self._table.c.state == "waiting")
        self.connection.execute(statement.values(next_try=None, state="resting"))

    def _row(
        self, record: str, position: int | None, attempts: int, next_try: datetime | None, error: str | None, state: str
    ) -> dict[str, Any]:
        return {
            "subscription": self._subscription, "record": record, "position": position, "attempts": attempts,
            "next_try": next_try, "error": error, "state": state,
        }  # fmt: skip

    def postpone(self, record: str, position: int, attempts: int, next_try: datetime | None, error: BaseException) -> None:
        """Say that an event of a line failed again; without a next try the line is held."""
        state = "held" if next_try is None else "waiting"
        values = {"attempts": attempts, "next_try": next_try, "error": describe(error, words=self._words), "state": state}
        self.connection.execute(update(self._table).where(self._mine(record), self._table.c.position == position).values(values))

    def remove(self, record: str, upto: int | None = None) -> None:
        """Take the events up to a position, or all, out of a line."""
        statement = delete(self._table).where(self._mine(record))
        self.connection.execute(statement if upto is None else statement.where(self._table.c.position <= upto))

    def promote(self, record: str, now: datetime) -> None:
        """Let the first event of a line be tried at once, as if it had never failed."""
        first = select(func.min(self._table.c.position)).where(self._mine(record)).scalar_subquery()
        values = {"attempts": 0, "next_try": now, "error": None, "state": "waiting"}
        self.connection.execute(update(self._table).where(self._mine(record), self._table.c.position == first).values(values))


def due(connection: Connection, tables: Tables, subscriptions: Collection[str], now: datetime, limit: int = 1_000) -> list[tuple[str, str]]:
    """Return subscription and record of the lines whose heads may be tried, the longest due first."""
    table = tables.system.parking
    statement = select(table.c.subscription, table.c.record).where(
        table.c.subscription.in_(subscriptions), table.c.state == "waiting", table.c.next_try <= now
    )
    return [(row.subscription, row.record) for row in connection.execute(statement.order_by(table.c.next_try).limit(limit))]


def next_try(connection: Connection, tables: Tables, subscriptions: Collection[str]) -> datetime | None:
    """Return when the first line is due."""
    table = tables.system.parking
    statement = select(table.c.next_try).where(table.c.subscription.in_(subscriptions), table.c.state == "waiting")
    return connection.execute(statement.order_by(table.c.next_try).limit(1)).scalar()


def lines(connection: Connection, tables: Tables, *, tenant: str | None = None, limit: int = 1_000) -> list[ParkedLine]:
    """Return the parked lines, the oldest first; only those of *tenant*, if given."""
    table, journal, positions = tables.system.parking, tables.system.journal, tables.system.journal_position
    followers = table.alias()
    count = (
        select(func.count())
        .where(followers.c.subscription == table.c.subscription, followers.c.record == table.c.record, followers.c.state == "behind")
        .scalar_subquery()
    )
    names = [a.name for a in attrs.fields(ParkedLine)][:-1]
    statement = select(*(table.c[n] for n in names), count).where(table.c.state != "behind")
    if tenant is not None:
        sqlite = connection.dialect.name == "sqlite"
        source = journal if sqlite else journal.join(positions, positions.c.journal_id == journal.c.id)
        at = journal.c.id if sqlite else positions.c.position
        statement = statement.where(select(at).select_from(source).where(at == table.c.position, journal.c.tenant == tenant).exists())
    rows = connection.execute(statement.order_by(table.c.position, table.c.subscription).limit(limit))
    return [ParkedLine(**dict(zip(names, row[:-1], strict=True)), behind=row[-1]) for row in rows]


def retry(connection: Connection, tables: Tables, subscription: str, record: str, now: datetime) -> None:
    """Try the head of a line again at the next delivery, with all its tries.

    Raises:
        NotFound: nothing is parked there.
    """
    _taken(connection, tables, subscription, record).promote(record, now)


def wake(connection: Connection, tables: Tables, subscriptions: Collection[str], now: datetime) -> None:
    """Let the lines of *subscriptions* that rest be tried again; what still rests goes back to rest then."""
    table = tables.system.parking
    statement = update(table).where(table.c.subscription.in_(subscriptions), table.c.state == "resting")
    connection.execute(statement.values(next_try=now, state="waiting"))


def skip(connection: Connection, tables: Tables, subscription: str, record: str, now: datetime) -> None:
    """Give up the head of a line for this subscription; the next delivery goes on behind it.

    Raises:
        NotFound: nothing is parked there.
    """
    parking = _taken(connection, tables, subscription, record)
    parking.remove(record, parking.line(record, 1)[0][0])
    parking.promote(record, now)


def discard(connection: Connection, tables: Tables, subscription: str, record: str) -> None:
    """Give up a whole line for this subscription; the record's next events are delivered again.

    Raises:
        NotFound: nothing is parked there.
    """
    _taken(connection, tables, subscription, record).remove(record)


def _taken(connection: Connection, tables: Tables, subscription: str, record: str) -> Parking:
    # A try of this line may be under way: first wait for it, or make its outcome worthless.
    fence(connection, tables, subscription)
    parking = Parking(connection, tables, subscription)
    if not parking.line(record, 1):
        raise NotFound("not_parked", subscription=subscription, record=record)
    return parking
