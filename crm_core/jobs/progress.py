"""What a running job says of itself, as ``session.job``: how far it is, and where to go on after a failure."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, TimeoutError

from ..errors import CRMError, Refused
from ..events.wake import notify
from .state import JobCancelled

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from ..crm import CRM
    from ..session import Session
    from .state import Claim
    from .store import Store

_EVERY = 0.2
_UNSET: Any = object()
_log = logging.getLogger(__name__)


class Progress:
    """The run of a job in its own eyes.

    Attributes:
        checkpoint: what an earlier try of this job saved last, as plain JSON; None where it begins anew.
    """

    def __init__(self, crm: CRM, store: Store, claim: Claim, *, external: bool) -> None:
        self._crm = crm
        self._store = store
        self._claim = claim
        self._external = external
        self._told = float("-inf")
        self.session: Session | None = None
        self.checkpoint: Any = claim.checkpoint

    @property
    def id(self) -> str:
        """The run, as the log and ``crm.jobs.cancel`` know it."""
        return self._claim.run

    @property
    def slot(self) -> datetime:
        """The occurrence that this run is for."""
        return self._claim.slot

    @property
    def attempt(self) -> int:
        """Which try of the occurrence this is, from 1."""
        return self._claim.attempt

    def progress(self, done: int, total: int | None = None, *, checkpoint: Any = _UNSET) -> None:
        """Say how far the job is, and hear whether it was cancelled.

        Args:
            done, total: in whatever the job counts.
            checkpoint: plain JSON from which the next try can go on. What was done so far is committed with it, and stays done whatever
                comes; without it, nothing is committed before the job ends. Between two checkpoints, an ``external`` job is thought
                dead that says nothing for five minutes.

        Raises:
            JobCancelled: somebody cancelled the run.
            Refused: ``job_inside_savepoint``: a checkpoint inside a savepoint, which could not be undone any more.
            Conflict: ``job_fenced``: another worker took the job over.
        """
        if checkpoint is not _UNSET:
            state = self._save(done, total, checkpoint)
        elif time.monotonic() - self._told < _EVERY:
            return
        else:
            state = self._tell(done, total)
        self._told = time.monotonic()
        if state == "cancelling":
            raise JobCancelled(job=self._claim.job, tenant=self._claim.tenant)

    def _save(self, done: int, total: int | None, checkpoint: Any) -> str:
        assert self.session is not None
        unit = self.session._unit
        if unit.nested:
            raise Refused("job_inside_savepoint", job=self._claim.job)
        with unit.atomic() as connection:
            state = self._store.save(connection, self._claim, checkpoint, done, total)
            notify(connection, self._crm.tables)
        unit.commit()
        self.checkpoint = checkpoint
        return state

    def _tell(self, done: int, total: int | None) -> str:
        """Tell on a connection apart, where the job's own transaction does not keep it from writing; a run does not fail by it."""
        assert self.session is not None
        bound, unit = self._crm.bound, self.session._unit
        if bound.shared:
            return self._store.tell(unit.connection, self._claim, done, total) if unit.begun else "running"
        locked = bound.kind == "sqlite" and unit.begun
        try:
            with bound.begin(write=not locked, unlimited=True) as connection:
                return self._store.state(connection, self._claim) if locked else self._write(connection, done, total)
        except (DBAPIError, TimeoutError, CRMError) as e:
            _log.debug("the progress of %s could not be told", self._claim.job, exc_info=e)
            return "running"

    def _write(self, connection: Connection, done: int, total: int | None) -> str:
        if self._external:
            self._store.extend(connection, self._claim)
        return self._store.tell(connection, self._claim, done, total)
