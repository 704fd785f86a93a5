"""What the database keeps of jobs: whose turn it is, how far they came, and the log of their runs.

A claim is a lease with a fencing token, measured with the database's clock. The transaction a job works in checks the token when it
begins and, on PostgreSQL, holds the row's lock; so what was done under a lease that ran out is never committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, delete, insert, select, update

from ..entities.upsert import upsert
from ..errors import Conflict, NotFound
from ..events.parking import Retry, describe
from ..events.subscription import Fenced, database_now
from .state import Claim, JobRun

if TYPE_CHECKING:
    from ..runtime import Runtime
    from ..storage.tables import Tables

LEASE = timedelta(minutes=1)
OUTSIDE = timedelta(minutes=5)
KEPT = timedelta(days=30)
EVERYWHERE = ""
RETRY = Retry(tries=5, first=timedelta(minutes=1), cap=timedelta(hours=1))


class Store:
    """The tables ``job`` and ``job_run``; every call works in the caller's transaction."""

    def __init__(self, tables: Tables, runtime: Runtime, *, retry: Retry = RETRY) -> None:
        self._job = tables.system.job
        self._run = tables.system.job_run
        self._words = tables.sealer is None
        self._runtime = runtime
        self._retry = retry

    # -- who is known -------------------------------------------------------------------------------------------------------------

    def rows(self, connection: Connection, names: Iterable[str]) -> Mapping[tuple[str, str], Any]:
        """Return where some jobs stand, by job and tenant; under no tenant, since when the job is known."""
        found = connection.execute(select(self._job).where(self._job.c.name.in_(list(names))))
        return {(row.name, row.tenant): row for row in found}

    def register(self, connection: Connection, wanted: Iterable[tuple[str, str, datetime, str]]) -> None:
        """Make rows for jobs that have none: name, tenant, the occurrence that needs no run any more, state."""
        rows = [
            {"name": name, "tenant": tenant, "slot": slot, "state": state, "attempts": 0, "token": 0}
            | {"next_try": slot if state == "waiting" else None}
            for name, tenant, slot, state in wanted
        ]
        if rows:
            connection.execute(upsert(self._job, connection.dialect.name).on_conflict_do_nothing(), rows)

    def forget_future(self, connection: Connection, now: datetime, limit: datetime) -> None:
        """Let jobs begin again from *now* where a clock that went wrong put them behind *limit*."""
        connection.execute(update(self._job).where(self._job.c.slot > limit).values(slot=now))

    # -- one run ------------------------------------------------------------------------------------------------------------------

    def claim(
        self, connection: Connection, name: str, tenant: str, slot: datetime | None, lease: timedelta, *, forced: bool = False
    ) -> Claim | None:
        """Take an occurrence, or return None where another worker has it, or it was done meanwhile.

        Args:
            slot: the newest occurrence of the schedule; None for a data migration.
            lease: how long the worker may be silent. While a transaction of the job is open, nobody can take it from it anyway.
            forced: run it whether it is due or not.
        """
        table, now = self._job, self._now()
        mine = (table.c.name == name) & (table.c.tenant == tenant)
        row = connection.execute(select(table).where(mine).with_for_update(skip_locked=True)).one_or_none()
        if row is None or (row.until is not None and row.until > database_now(connection)):
            return None
        lost, new = row.state == "running", slot is not None and slot > row.slot
        if lost and row.run is not None:
            self._log(connection, row.run, state="lost", ended_at=now)
        again = lost or (row.state == "waiting" and row.next_try <= now)
        if lost and not (new or forced) and row.attempts >= self._retry.tries:
            connection.execute(update(table).where(mine).values(state=_given_up(slot), until=None, attempts=0))
            return None
        if not (new or again or forced):
            return None
        claim = Claim(
            name, tenant, slot if new and slot is not None else now if forced else row.slot, self._runtime.ids.new(), row.token + 1,
            row.attempts + 1 if again and not new else 1, row.checkpoint, lease,
        )  # fmt: skip
        values = {"slot": slot if new else row.slot, "state": "running", "attempts": claim.attempt, "next_try": None, "run": claim.run}
        connection.execute(update(table).where(mine).values(**values, token=claim.token, until=database_now(connection) + lease))
        logged = {"id": claim.run, "job": name, "tenant": tenant, "slot": claim.slot, "attempt": claim.attempt}
        connection.execute(insert(self._run).values(**logged, state="running", started_at=now))
        return claim

    def hold(self, connection: Connection, claim: Claim) -> None:
        """Keep a claim to the end of the transaction.

        Raises:
            Fenced: another worker took the occurrence over.
        """
        if connection.dialect.name == "postgresql":
            # A worker that is stopped, or gone without a word, must not keep its locks.
            milliseconds = int(OUTSIDE.total_seconds() * 1000)
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds}")
        held = connection.scalar(select(self._job.c.token).where(*self._mine(claim)).with_for_update())
        if held != claim.token:
            raise Fenced("job_fenced", job=claim.job, tenant=claim.tenant)

    def save(self, connection: Connection, claim: Claim, checkpoint: Any, done: int, total: int | None) -> str:
        """Keep a checkpoint and how far the run came, lend the claim anew, and return the run's state."""
        self._move(connection, claim, checkpoint=checkpoint, until=database_now(connection) + claim.lease)
        return self.tell(connection, claim, done, total)

    def extend(self, connection: Connection, claim: Claim) -> None:
        """Lend the claim anew."""
        self._move(connection, claim, until=database_now(connection) + claim.lease)

    def tell(self, connection: Connection, claim: Claim, done: int, total: int | None) -> str:
        """Note how far a run came, and return its state."""
        self._log(connection, claim.run, done=done, total=total)
        return self.state(connection, claim)

    def state(self, connection: Connection, claim: Claim) -> str:
        """Return a run's state."""
        found: str = connection.execute(select(self._run.c.state).where(self._run.c.id == claim.run)).scalar_one()
        return found

    def finish(self, connection: Connection, claim: Claim, *, once: bool) -> None:
        """Say that an occurrence is done, in the transaction of what was done; old runs are taken out of the log."""
        self._move(connection, claim, state="done" if once else "idle", attempts=0, until=None, checkpoint=None)
        now, log = self._now(), self._run
        self._log(connection, claim.run, state="done", ended_at=now)
        old = (log.c.job == claim.job, log.c.tenant == claim.tenant, log.c.started_at < now - KEPT)
        connection.execute(delete(log).where(*old))

    def fail(self, connection: Connection, claim: Claim, error: BaseException, *, once: bool) -> None:
        """Say that a run failed; it is tried again until it was tried often enough. The checkpoint stays."""
        now = self._now()
        logged = {"state": "failed", "ended_at": now, "error": describe(error, words=self._words)}
        if claim.attempt >= self._retry.tries:
            self._move(connection, claim, state=_given_up(None if once else claim.slot), attempts=0, until=None)
        else:
            delay = self._retry.delay(claim.attempt, self._runtime.random)
            self._move(connection, claim, state="waiting", next_try=now + delay, until=None)
        self._log(connection, claim.run, **logged)

    def cancelled(self, connection: Connection, claim: Claim, *, once: bool) -> None:
        """Say that a run ended because somebody cancelled it; the occurrence is given up."""
        self._log(connection, claim.run, state="cancelled", ended_at=self._now())
        self._move(connection, claim, state=_given_up(None if once else claim.slot), attempts=0, until=None, checkpoint=None)

    # -- for operators ------------------------------------------------------------------------------------------------------------

    def cancel(self, connection: Connection, run: str, *, once: Iterable[str]) -> None:
        """Ask a run to end, or give up one that waits for its next try.

        Raises:
            NotFound: ``job_run_unknown``.
            Conflict: ``job_not_running``: it is over.
        """
        log, table = self._run, self._job
        asked = update(log).where(log.c.id == run, log.c.state.in_(("running", "cancelling"))).values(state="cancelling")
        if connection.execute(asked).rowcount:
            return
        state = connection.scalar(select(log.c.state).where(log.c.id == run))
        if state is None:
            raise NotFound("job_run_unknown", run=run)
        waits = (table.c.run == run) & (table.c.state == "waiting")
        row = connection.execute(select(table.c.name, table.c.tenant).where(waits)).one_or_none()
        if row is None:
            raise Conflict("job_not_running", run=run, state=state)
        over = {"state": "failed" if row.name in once else "idle", "attempts": 0, "next_try": None, "checkpoint": None}
        connection.execute(update(table).where(waits).values(**over))
        self._log(connection, run, state="cancelled")

    def runs(self, connection: Connection, *, job: str | None, tenant: str | None, limit: int) -> list[JobRun]:
        """Return runs, the newest first."""
        log = self._run
        wanted = [c == v for c, v in ((log.c.job, job), (log.c.tenant, tenant)) if v is not None]
        names = [a.name for a in attrs.fields(JobRun)]
        statement = select(*(log.c[n] for n in names)).where(*wanted).order_by(log.c.started_at.desc(), log.c.id.desc())
        return [JobRun(*row) for row in connection.execute(statement.limit(limit))]

    def _mine(self, claim: Claim) -> Sequence[Any]:
        return (self._job.c.name == claim.job, self._job.c.tenant == claim.tenant)

    def _move(self, connection: Connection, claim: Claim, **values: Any) -> None:
        # One that is over is not moved either: a commit may have succeeded that was reported as broken.
        held = (*self._mine(claim), self._job.c.token == claim.token, self._job.c.state == "running")
        moved = update(self._job).where(*held).values(**values)
        if connection.execute(moved).rowcount != 1:
            raise Fenced("job_fenced", job=claim.job, tenant=claim.tenant)

    def _log(self, connection: Connection, run: str, **values: Any) -> None:
        connection.execute(update(self._run).where(self._run.c.id == run).values(**values))

    def _now(self) -> datetime:
        return self._runtime.clock.now()


def _given_up(slot: datetime | None) -> str:
    """A job of a schedule goes on with its next occurrence; a data migration waits for somebody."""
    return "failed" if slot is None else "idle"
