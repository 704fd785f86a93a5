"""Waking delivery: a hint that there is something to do. It may come too often or never; what is delivered stands in the journal."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Engine, StaticPool

from ..logs import facts
from ..permissions.prepared import send

if TYPE_CHECKING:
    from ..runtime import Runtime
    from ..storage.tables import Tables

_log = logging.getLogger(__name__)
_GLANCE = 0.05
_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_GRACE = 10.0


def channel(tables: Tables) -> str:
    """Return the name under which PostgreSQL announces new journal rows; of schemas apart."""
    return f"{tables.schema}.{tables.prefix}journal" if tables.schema else f"{tables.prefix}journal"


def notify(connection: Connection, tables: Tables) -> None:
    """Announce this transaction's journal rows with its commit. SQLite needs no announcement: its file says that it changed."""
    if connection.dialect.name == "postgresql":
        # Told to the driver: compiling it anew costs a tenth of a write.
        send(connection, f"NOTIFY {connection.dialect.identifier_preparer.quote_identifier(channel(tables))}", [()])


class Deliverer(Protocol):
    """What a worker drives: the CRM's ``Delivery``."""

    def run_pending(self) -> int:
        """Deliver all that is due."""
        ...

    def next_try(self) -> datetime | None:
        """Return when the next parked event is due."""
        ...


class Worker:
    """Delivers whenever something was committed, in a thread (:meth:`start`) or in the caller's (:meth:`run`).

    Args:
        delivery: what to run.
        engine: where to listen for commits; its pool lends one connection as long as the worker runs.
        poll: the longest wait between two looks, should an announcement get lost.
        jobs: what is done by the clock, once a second, in a thread beside; None where delivery does it.

    A failure is logged, and tried again after a pause that grows to a minute; events are not lost by it.
    """

    def __init__(
        self,
        delivery: Deliverer,
        engine: Engine,
        tables: Tables,
        runtime: Runtime,
        *,
        poll: timedelta = timedelta(seconds=5),
        jobs: Callable[[], object] | None = None,
    ) -> None:
        self._delivery = delivery
        self._engine = engine
        self._tables = tables
        self._runtime = runtime
        self._poll = poll.total_seconds()
        self._jobs = jobs
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin in a background thread; a second call does nothing."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self.run, name="crm-delivery", daemon=True)
            self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """End after the batch in hand, and wait for it, at most *timeout* seconds."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
            if not self._thread.is_alive():
                self._thread = None

    def run(self) -> None:
        """Deliver until :meth:`stop` is called. A job in hand has ten seconds to end; its next try goes on from its last checkpoint."""
        with self._jobs_beside():
            self._deliver()

    @contextmanager
    def _jobs_beside(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run_jobs, name="crm-jobs", daemon=True)
        if self._jobs is not None:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            if self._jobs is not None:
                thread.join(_GRACE)

    def _run_jobs(self) -> None:
        while self._jobs is not None and not self._stopping.is_set():
            try:
                self._jobs()
            except Exception:
                _log.exception("jobs failed; they are looked at again")
            self._stopping.wait(1.0)

    def _deliver(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                with self._listening() as wait:
                    while not self._stopping.is_set():
                        self._delivery.run_pending()
                        failures = 0
                        wait(self._patience())
            except Exception:
                failures += 1
                pause = min(_LONGEST_PAUSE, _PAUSE * 2 ** min(failures, 10)) * (0.5 + self._runtime.random.random() / 2)
                extra = facts("delivery_failed", failures=failures, seconds=pause)
                _log.exception("delivery failed; next try in %.1f s", pause, extra=extra)
                self._stopping.wait(pause)

    def _patience(self) -> float:
        due = self._delivery.next_try()
        if due is None:
            return self._poll
        # What is due already is in another worker's hands.
        return max(_GLANCE, min(self._poll, (due - self._runtime.clock.now()).total_seconds()))

    @contextmanager
    def _listening(self) -> Iterator[Callable[[float], None]]:
        """Keep a connection that hears of commits; give a function that waits for one, at most so many seconds."""
        if isinstance(self._engine.pool, StaticPool):  # everyone's one connection: nothing to be heard that it does not do itself
            yield self._sleep
            return
        with self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            if self._engine.dialect.name == "sqlite":
                # Read before the first delivery, so that no commit falls between a delivery and the wait after it.
                seen = [_data_version(driver)]
                yield lambda seconds: self._watch(driver, seen, seconds)
            elif hasattr(driver, "notifies"):
                connection.rollback()
                listener = connection.execution_options(isolation_level="AUTOCOMMIT")
                quoted = connection.dialect.identifier_preparer.quote_identifier(channel(self._tables))
                listener.exec_driver_sql(f"LISTEN {quoted}")
                try:
                    yield lambda seconds: self._listen(driver, seconds)
                finally:
                    if not connection.invalidated:
                        connection.invalidate()  # a pooled connection must not go on listening
            else:
                yield self._sleep

    def _sleep(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _watch(self, driver: Any, seen: list[Any], seconds: float) -> None:
        """Wait until SQLite's file is not as it was last *seen*; another connection has committed then."""
        end = time.monotonic() + seconds
        while seen[0] == (current := _data_version(driver)):
            if time.monotonic() >= end or self._stopping.wait(_GLANCE):
                return
        seen[0] = current

    def _listen(self, driver: Any, seconds: float) -> None:
        """Wait for an announcement on psycopg's connection."""
        end = time.monotonic() + seconds
        while not self._stopping.is_set() and (left := end - time.monotonic()) > 0:
            if list(driver.notifies(timeout=min(left, 10 * _GLANCE), stop_after=1)):
                return


def _data_version(driver: Any) -> Any:
    return driver.execute("PRAGMA data_version").fetchone()
