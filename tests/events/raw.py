"""Delivery alone, on hand-written journal rows and effects: quick enough for tens of thousands of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any

import attrs
import sqlalchemy as sa

from crm_core.events.delivery import Delivery
from crm_core.events.event import EventCodec
from crm_core.events.parking import Retry
from crm_core.events.subscribers import Subscriber
from crm_core.hooks.dispatch import HookState
from crm_core.hooks.health import Health
from crm_core.hooks.registry import Registry
from crm_core.runtime import FixedClock, Runtime
from crm_core.storage.engine import open_engine
from crm_core.storage.savepoint import savepoint
from crm_core.storage.tables import Tables
from crm_core.testing.databases import Database
from tests.events.boxes import START, Box, Effect

EFFECT = sa.Table(
    "effect",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event", sa.String(36)),
    sa.Column("box", sa.String(36)),
)


@attrs.frozen
class RawSession:
    """What a handler gets: where it may write effects, and why it runs."""

    begin: Callable[[], AbstractContextManager[sa.Connection]]
    hooks: HookState
    chain: tuple[str, ...] = ()

    def effect(self, *events: Any) -> None:
        """Leave a trace of having seen *events*."""
        with self.begin() as connection:
            connection.execute(EFFECT.insert(), [{"event": e.id, "box": e.record.id} for e in events])


Handler = Callable[[RawSession, Any], None]


class RawHost:
    """Delivery's host with nothing behind it."""

    def __init__(self, database: Database, handlers: dict[str, Handler], *, seed: int = 1, **options: Any) -> None:
        self.clock = FixedClock(START)
        self.runtime = Runtime.seeded(seed, clock=self.clock)
        self.tables = Tables([Box, Effect], {})
        self.event_codec = EventCodec([Box], [])
        self.health = Health({"box": "1.0"}, self.clock, None, lambda: None)
        self.hooks = HookState(Registry([]))
        self.waits = False
        self.bound = open_engine(database.url)
        manner: dict[str, Any] = {"batch": False, "external": False, "on_failure": "hold", "from_start": True} | options
        self.subscribers: Sequence[Subscriber] = [
            Subscriber(name, "box", handler, frozenset({"box.box.created"}), **manner) for name, handler in handlers.items()
        ]

    def listening(self, connection: sa.Connection, *, anew: bool = False) -> Sequence[Subscriber]:
        """Return the subscribers, who wait for the same all the time."""
        return self.subscribers

    def tick(self) -> int:
        """Do nothing by the clock."""
        return 0

    def seal(self) -> None:
        """Seal nothing: its journal's rows are no changes."""

    def create(self) -> None:
        """Make the tables."""
        with self.begin() as connection:
            self.tables.metadata.create_all(connection)
            EFFECT.create(connection)

    def begin(self, *, write: bool = True) -> Any:
        """Open a transaction of its own."""
        return self.bound.begin(write)

    @contextmanager
    def open_session(self, connection: sa.Connection | None, actor: Any, *, chain: tuple[str, ...]) -> Iterator[RawSession]:
        """Open a session."""
        with ExitStack() as stack:
            opened: list[sa.Connection] = []

            def within(outer: sa.Connection) -> AbstractContextManager[sa.Connection]:
                opened[:] = opened or [stack.enter_context(savepoint(outer))]
                return nullcontext(opened[0])

            yield RawSession(self.begin if connection is None else partial(within, connection), self.hooks, chain)

    def service_actor(self, plugin: str, *, tenant: str, on_behalf_of: str) -> str:
        """Name the actor."""
        return f"{plugin} for {on_behalf_of} in {tenant}"

    def project(self, session: Any, event: Any) -> Any:
        """Show everything."""
        return event

    def delivery(self, *, tries: int = 8, lease: float = 60) -> Delivery:
        """Return a delivery with this host."""
        return Delivery(self, retry=Retry(tries=tries), lease=timedelta(seconds=lease))

    def rows(self, records: Sequence[str], *, chain: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Make journal rows of boxes that were created."""
        more = {"chain": list(chain)} if chain else {}
        return [
            {
                "tenant": "main", "at": self.clock.now(), "actor": "7", "plugin": "", "entity": "box.box", "record": record,
                "version": 1, "kind": "box.box.created.v1", "format": 1,
                "payload": {"id": self.runtime.ids.new(), "new": {"name": "b"}, **more},
            }
            for record in records
        ]  # fmt: skip

    def write(self, connection: sa.Connection, records: Sequence[str]) -> None:
        """Append to the journal."""
        journal = self.tables.system.journal
        for start in range(0, len(records), 1000):
            statement = (
                journal.insert() if connection.dialect.name == "sqlite" else journal.insert().values(xid=sa.func.pg_current_xact_id())
            )
            connection.execute(statement, self.rows(records[start : start + 1000]))

    def journal(self, records: Sequence[str]) -> None:
        """Append to the journal in a transaction."""
        with self.begin() as connection:
            self.write(connection, records)

    def records(self, count: int) -> list[str]:
        """Make ids of records."""
        return self.runtime.ids.many(count)

    def expected(self) -> dict[str, list[str]]:
        """Return the event ids of each record, in the journal's order."""
        journal = self.tables.system.journal
        found: dict[str, list[str]] = {}
        with self.begin(write=False) as connection:
            for record, payload in connection.execute(sa.select(journal.c.record, journal.c.payload).order_by(journal.c.id)):
                found.setdefault(record, []).append(payload["id"])
        return found

    def effects(self) -> dict[str, list[str]]:
        """Return the event ids that left a trace, by record, in the order they did."""
        found: dict[str, list[str]] = {}
        with self.begin(write=False) as connection:
            for row in connection.execute(sa.select(EFFECT).order_by(EFFECT.c.id)):
                found.setdefault(row.box, []).append(row.event)
        return found
