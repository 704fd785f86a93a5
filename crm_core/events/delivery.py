"""Delivery: committed events to their subscribers, in each record's order, at least once; effects in the same database exactly once.

A batch is one transaction: up to 500 events, a savepoint for each whose handler uses the database, and at its end the subscription's
new position with the fencing token. So whatever stops it, either all of it happened or nothing. On SQLite it ends early, after 50 ms,
for all who write wait for it. A handler that fails parks its event (see ``parking``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection

from . import parking
from .event import Event, EventCodec
from .parking import ParkedLine, Retry
from .run import Run, awake
from .subscribers import Subscriber
from .subscription import register

if TYPE_CHECKING:
    from ..hooks.health import Health
    from ..runtime import Runtime
    from ..storage.tables import Tables

LEASE = timedelta(seconds=60)


class DeliveryHost(Protocol):
    """What delivery needs of the CRM."""

    @property
    def runtime(self) -> Runtime: ...
    @property
    def tables(self) -> Tables: ...
    @property
    def event_codec(self) -> EventCodec: ...
    @property
    def subscribers(self) -> Sequence[Subscriber]: ...
    @property
    def health(self) -> Health: ...
    @property
    def waits(self) -> bool: ...

    def listening(self, connection: Connection, *, anew: bool = False) -> Sequence[Subscriber]:
        """Return the subscribers with the events that each waits for now; *anew*: after a look at which plugins there are."""
        ...

    def tick(self) -> int:
        """Do what is due by the clock, and return how much it was."""
        ...

    def seal(self) -> None:
        """Seal what is committed."""
        ...

    def begin(self, *, write: bool = True) -> AbstractContextManager[Connection]:
        """Open a transaction of its own; leaving it commits, or rolls back on an error."""
        ...

    def open_session(self, connection: Connection | None, actor: Any, *, chain: tuple[str, ...]) -> AbstractContextManager[Any]:
        """Open a session on a part of a transaction, which an error undoes, or, without one, on its own from its first statement on.

        A session that is not used makes no statement.

        *chain* goes into the payload of every journal row the session writes, under ``chain``.
        """
        ...

    def service_actor(self, plugin: str, *, tenant: str, on_behalf_of: str) -> Any:
        """Return the actor a plugin's subscribers run as."""
        ...

    def project(self, session: Any, event: Event[Any]) -> Event[Any] | None:
        """Return the event without what the session's actor may not read; None where even the record does not exist for it."""
        ...


class Delivery:
    """The deliveries of one CRM. Any number of them, in threads and processes, may run at once.

    Args:
        host: the CRM.
        retry: how often and when failing events are tried again.
        lease: how long a worker may keep a subscription without a sign of life. On PostgreSQL the server ends a transaction that is
            idle for longer, so that a stopped process blocks nobody; a handler that computes or waits longer must be ``external``.
    """

    def __init__(self, host: DeliveryHost, *, retry: Retry | None = None, lease: timedelta = LEASE) -> None:
        self._host = host
        self._retry = retry or Retry()
        self._lease = lease

    # -- for operators ------------------------------------------------------------------------------------------------------------

    def register(self, connection: Connection) -> None:
        """Give new subscriptions their first position, the journal's end or (``from_start``) its beginning.

        Migrations call it; where they did not, the first delivery does.
        """
        register(connection, self._host.tables, self._host.subscribers, self._now())

    def parked(self, *, tenant: str | None = None, limit: int = 1_000) -> list[ParkedLine]:
        """Return what is parked, the oldest first."""
        with self._host.begin(write=False) as connection:
            return parking.lines(connection, self._host.tables, tenant=tenant, limit=limit)

    def retry(self, subscription: str, record: str) -> None:
        """Try a parked line's head again at the next delivery.

        Raises:
            NotFound: nothing is parked there.
        """
        with self._host.begin() as connection:
            parking.retry(connection, self._host.tables, subscription, record, self._now())

    def skip(self, subscription: str, record: str) -> None:
        """Give up a parked line's head; what stands behind it is delivered.

        Raises:
            NotFound: nothing is parked there.
        """
        with self._host.begin() as connection:
            parking.skip(connection, self._host.tables, subscription, record, self._now())

    def discard(self, subscription: str, record: str) -> None:
        """Give up a whole parked line.

        Raises:
            NotFound: nothing is parked there.
        """
        with self._host.begin() as connection:
            parking.discard(connection, self._host.tables, subscription, record)

    def run_pending(self, *, limit: int | None = None, on: Connection | None = None, seconds: float | None = None) -> int:
        """Do what is due by the clock, deliver until nothing is left, and return how many deliveries succeeded. In safe mode nothing is.

        Args:
            limit: stop after this many.
            on: deliver inside this open transaction, which sees its own uncommitted events; for tests, since it blocks other workers
                until it ends. Nothing is done by the clock then.
            seconds: begin no further batch, of 20 events, after so many, and do nothing by the clock: somebody waits for it.
        """
        if self._host.waits:
            return 0
        ticked = 0
        if on is None:
            self._host.seal()  # first: no handler that hangs keeps a row from it
            ticked = self._host.tick() if seconds is None else 0
        done = Run(self._host, self._retry, self._lease, on).until_done(limit, seconds)
        if on is None and (done or ticked):
            self._host.seal()
        return done

    def next_try(self) -> datetime | None:
        """Return when the next parked event is due; those of plugins in quarantine wait for its end."""
        with self._host.begin(write=False) as connection:
            return parking.next_try(connection, self._host.tables, [s.name for s in awake(self._host, self._host.subscribers)])

    def _now(self) -> datetime:
        return self._host.runtime.clock.now()
