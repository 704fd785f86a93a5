"""The jobs of one CRM, as ``crm.jobs``: which are due where, whose turn it is, and what operators do with them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection

from ..arguments import check_text
from ..asession import synchronous
from ..entities.validate import is_id
from ..errors import Conflict, MissingExtra, NotFound, SchemaBehind, Unavailable
from ..messages import closest
from ..permissions.actor import Actor
from ..versions import Version
from . import cron
from .attempt import Attempt
from .progress import Told
from .state import JobRun, JobStatus
from .store import EVERYWHERE, LEASE, OUTSIDE, Store

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.parts import Job

LOOK_AGAIN = timedelta(seconds=30)
SET_BACK = timedelta(hours=1)
"""What was done later than this from now was done by a clock that has been set back since."""

_PAUSE = 0.5
_DAWN = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


@attrs.frozen
class _Due:
    """A job whose time came in a tenant; *slot* is None for a data migration."""

    job: Job
    tenant: str
    slot: datetime | None


class Jobs:
    """The jobs that the CRM's plugins declare, run by ``crm.run_pending()`` and ``crm.worker()``.

    A job runs for the newest occurrence of its schedule; those it missed before are not made up for. Any number of processes may look:
    one takes an occurrence, under a lease. A job that is new is due from its next occurrence on.
    """

    def __init__(self, crm: CRM, *, store: Store | None = None) -> None:
        self._crm = crm
        jobs = sorted(crm.registry.jobs, key=lambda job: Version.parse(job.version or "0"))
        self._jobs = {job.name: attrs.evolve(job, fn=synchronous(job.fn)) for job in jobs}
        self._store = store or Store(crm.tables, crm.runtime)
        self._looked: datetime | None = None
        self._next = _DAWN
        self._warned = False

    # -- for operators ------------------------------------------------------------------------------------------------------------

    def list(self, *, tenant: str | None = None) -> Sequence[JobStatus]:
        """Return where every job stands, in each tenant it runs for or in one.

        Raises:
            MissingExtra: ``jobs``.
        """
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            self._crm.quarantine.look(connection)
            rows, zones = self._store.rows(connection, self._jobs), self._crm.tenants.zones(connection)
            names = self._crm.tenants.names(connection)
            found = [(job, t) for job in self._jobs.values() for t in self._tenants(job, names, rows) if tenant in (None, t)]
            return [self._status(job, t, rows, zones) for job, t in found]

    def runs(self, name: str | None = None, *, tenant: str | None = None, limit: int = 100) -> Sequence[JobRun]:
        """Return the log, the newest run first; of runs that began more than 30 days ago nothing is kept."""
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            return self._store.runs(connection, job=name, tenant=tenant, limit=limit)

    def run(self, name: str, *, tenant: str = "main", told: Told | None = None) -> JobRun:
        """Run a job now, whether it is due or not, and return what came of it. Its schedule stays as it is.

        Args:
            told: called with what is done, and of how much, whenever the job says so.

        Raises:
            NotFound: ``job_unknown``.
            Invalid: ``bad_actor``: no tenant can have this name.
            Conflict: ``job_running``: a worker has it.
            Unavailable: ``tenant_suspended`` and its like: it may not run there now.
            SchemaBehind: ``plugin_dropped``: somebody deleted the data of its plugin meanwhile.
        """
        check_text(name, tenant)
        job = self._jobs.get(name)
        if job is None:
            raise NotFound("job_unknown", given=name[:200], suggestion=closest(name, self._jobs))
        Actor.system("jobs", tenant=tenant)  # says what is wrong with a name that no tenant can have
        self._crm.tenants.check(tenant, plugin=job.plugin)
        now = self._crm.runtime.clock.now()
        with self._crm.bound.begin(unlimited=True) as connection:
            self._store.register(connection, [(name, tenant, now, "idle")])
            claim = self._store.claim(connection, name, tenant, None, _lease(job), forced=True)
        if claim is None:
            raise Conflict("job_running", job=name, tenant=tenant)
        Attempt(self._crm, self._store, job, claim, told).run()
        done = next((run for run in self.runs(name, tenant=tenant) if run.id == claim.run), None)
        if done is None:
            raise SchemaBehind("plugin_dropped", plugins=[job.plugin])
        return done

    def cancel(self, run: str) -> None:
        """Ask a run to end: it does at its next ``session.job.progress(...)``. One that waits for its next try is given up.

        On SQLite a job that wrote is heard of only when its transaction ends, at its next checkpoint.

        Raises:
            NotFound: ``job_run_unknown``.
            Conflict: ``job_not_running``: it is over.
        """
        check_text(run)
        if not is_id(run):
            raise NotFound("job_run_unknown", run=run[:60])
        with self._crm.bound.begin(unlimited=True) as connection:
            self._store.cancel(connection, run, once=[job.name for job in self._jobs.values() if job.once])

    # -- for workers --------------------------------------------------------------------------------------------------------------

    def register(self, connection: Connection) -> None:
        """Note which jobs there are: a new one is due from its next occurrence on, a data migration in every tenant there is now."""
        now, rows = self._crm.runtime.clock.now(), self._store.rows(connection, self._jobs)
        new = [job for job in self._jobs.values() if (job.name, EVERYWHERE) not in rows]
        names = self._crm.tenants.every(connection) if any(job.once for job in new) else ()
        self._store.register(connection, [(job.name, EVERYWHERE, now, "idle") for job in new])
        self._store.register(connection, [(job.name, t, now, "waiting") for job in new if job.once for t in names])

    def run_due(self) -> int:
        """Run what is due, and return how many jobs were done. Where the extra ``jobs`` is missing, none run and the log says so once."""
        if not self._jobs or self._crm.safe_mode or not self._is_time():
            return 0
        try:
            due = self._look()
        except MissingExtra as e:
            if not self._warned:
                self._warned = True
                _log.warning("no job runs: %s", e)
            return 0
        return sum(self._take(each) for each in due)

    def migrate(self, *, told: Callable[[JobStatus, int, int | None], None] | None = None) -> int:
        """Run the data migrations that wait, in the order of their versions, and return how many were done; disabled plugins' wait on.

        Args:
            told: called with the migration, what is done, and of how much, whenever it says so.

        Raises:
            Unavailable: ``data_migration_failed``: one failed; its checkpoint is kept, and the next call goes on from there.
        """
        if not any(job.once for job in self._jobs.values()):
            return 0
        with self._crm.bound.begin(unlimited=True) as connection:
            self._crm.plugins.learn(connection)
            self.register(connection)
        disabled = self._crm.registry.health.disabled
        waiting = [each for each in self.waiting() if self._jobs[each.name].plugin not in disabled]
        for each in waiting:
            run = self._run_when_free(each, None if told is None else partial(told, each))
            if run is not None and run.state != "done":
                raise Unavailable("data_migration_failed", job=each.name, tenant=each.tenant, reason=(run.error or run.state).rstrip("."))
        return len(waiting)

    def _run_when_free(self, status: JobStatus, told: Told | None) -> JobRun | None:
        """Run a data migration, or wait for the worker that has it; one that died has it until its lease ends."""
        while any((s.name, s.tenant) == (status.name, status.tenant) for s in self.waiting()):
            try:
                return self.run(status.name, tenant=status.tenant, told=told)
            except Conflict as e:
                if e.code != "job_running":
                    raise
                time.sleep(_PAUSE)
        return None

    def waiting(self) -> Sequence[JobStatus]:
        """Return the data migrations that are not done, in the order in which :meth:`migrate` runs them."""
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            rows = self._store.rows(connection, [name for name, job in self._jobs.items() if job.once])
        left = [(self._jobs[name], t) for name in self._jobs for n, t in sorted(rows) if n == name and t and rows[n, t].state != "done"]
        return [self._status(job, tenant, rows, {}) for job, tenant in left]

    def _is_time(self) -> bool:
        now = self._crm.runtime.clock.now()
        return self._looked is None or not self._looked <= now < min(self._next, self._looked + LOOK_AGAIN)

    def _look(self) -> Sequence[_Due]:
        self._looked = now = self._crm.runtime.clock.now()
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            self._crm.quarantine.look(connection)
            rows, names = self._store.rows(connection, self._jobs), self._crm.tenants.names(connection)
            zones = self._crm.tenants.zones(connection)
            lacking = any((name, EVERYWHERE) not in rows for name in self._jobs)
            if lacking:  # they are new, or another process dropped their plugin
                self._crm.plugins.learn(connection)
        if self._crm.plugins.any_gone:
            return ()
        if lacking or any(row.slot > now + SET_BACK for row in rows.values()):
            with self._crm.bound.begin(unlimited=True) as connection:
                self._store.forget_future(connection, now, now + SET_BACK)
                self.register(connection)
                rows = self._store.rows(connection, self._jobs)
        found = [self._due(job, t, rows, zones, now) for job in self._jobs.values() for t in self._tenants(job, names, rows)]
        every = {(job.every, zone) for job in self._jobs.values() if job.every for zone in {*zones.values(), "UTC"}}
        retries = [row.next_try for row in rows.values() if row.state == "waiting" and row.next_try > now]
        self._next = min([*(cron.following(e, zone, now) for e, zone in every), *retries, now + LOOK_AGAIN])
        return [due for due in found if due is not None]

    def _tenants(self, job: Job, names: Sequence[str], rows: Mapping[tuple[str, str], Any]) -> Iterator[str]:
        """Yield where a job runs: once in ``main``, or for each tenant; a data migration for those there were when it came."""
        if job.once:
            yield from (tenant for name, tenant in rows if name == job.name and tenant)
        else:
            yield from names if job.per_tenant else ("main",)

    def _due(self, job: Job, tenant: str, rows: Mapping[tuple[str, str], Any], zones: Mapping[str, str], now: datetime) -> _Due | None:
        row = rows.get((job.name, tenant))
        if self._rests(job, tenant) or (row is not None and row.state in ("done", "failed")):
            return None
        waits = row is not None and ((row.state == "waiting" and row.next_try <= now) or row.state == "running")
        if job.once:
            return _Due(job, tenant, None) if waits else None
        if any(other.once and other.plugin == job.plugin and _waits(rows.get((other.name, tenant))) for other in self._jobs.values()):
            return None
        slot = cron.last(job.every, zones.get(tenant, "UTC"), now)
        known = row.slot if row is not None else max(rows[job.name, EVERYWHERE].slot, self._crm.tenants.since(tenant, _DAWN))
        return _Due(job, tenant, slot) if waits or known < slot else None

    def _rests(self, job: Job, tenant: str) -> bool:
        return self._crm.registry.health.rests(job.plugin, tenant)

    def _take(self, due: _Due) -> int:
        try:
            with self._crm.bound.begin(unlimited=True) as connection:
                if due.slot is not None:
                    self._store.register(connection, [(due.job.name, due.tenant, _DAWN, "idle")])
                claim = self._store.claim(connection, due.job.name, due.tenant, due.slot, _lease(due.job))
        except Unavailable as e:
            _log.info("%s in %r could not begin: %s", due.job.name, due.tenant, e)
            return 0
        return int(claim is not None and Attempt(self._crm, self._store, due.job, claim).run())

    def _status(self, job: Job, tenant: str, rows: Mapping[tuple[str, str], Any], zones: Mapping[str, str]) -> JobStatus:
        comes = None if job.once else cron.following(job.every, zones.get(tenant, "UTC"), self._crm.runtime.clock.now())
        status = JobStatus(job.name, tenant, job.every or None, job.version, "idle", None, comes, 0, None)
        row = rows.get((job.name, tenant))
        if row is not None:
            begun = row.slot if row.run is not None else None
            status = attrs.evolve(status, state=row.state, last=begun, next=row.next_try or comes, attempts=row.attempts, run=row.run)
        rests = status.state in ("idle", "waiting") and self._rests(job, tenant)
        return attrs.evolve(status, state="resting") if rests else status


def _lease(job: Job) -> timedelta:
    return OUTSIDE if job.external else LEASE


def _waits(migration: Any) -> bool:
    return migration is not None and migration.state != "done"
