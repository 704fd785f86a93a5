"""One try of one job: in a session of its plugin's service actor, done and noted as done in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ..events.subscription import Fenced
from ..events.wake import notify
from ..hooks.nesting import handle
from ..hooks.stops import is_the_hosts
from ..masking import masked
from ..messages import wordless
from ..permissions.actor import Actor
from ..session import Session
from ..storage.unit import Lease, Unit
from .progress import Progress, Told
from .state import JobCancelled

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.parts import Job
    from .state import Claim
    from .store import Store

_log = logging.getLogger(__name__)


class Attempt:
    """A try of the occurrence that *claim* is for; *told* hears of its progress."""

    def __init__(self, crm: CRM, store: Store, job: Job, claim: Claim, told: Told | None = None) -> None:
        self._crm = crm
        self._store = store
        self._job = job
        self._claim = claim
        self._told = told

    def run(self) -> bool:
        """Run the job, and say whether it was done; what it raises is noted and tried again later."""
        try:
            with self._session() as session:
                self._call(session)
                with session._unit.atomic() as connection:
                    self._store.finish(connection, self._claim, once=self._job.once)
                    notify(connection, self._crm.tables)
        except Fenced:
            _log.warning("%s in %r: another worker took over", self._job.name, self._claim.tenant)
        except JobCancelled:
            self._note(self._store.cancelled)
        except BaseException as error:  # a job may even call sys.exit
            self._failed(error)
            if is_the_hosts(error, self._job.fn):
                raise
        else:
            self._crm.registry.health.succeeded(self._job, self._claim.tenant)
            return True
        return False

    def _call(self, session: Session) -> None:
        if self._job.external:
            self._job.fn(session)
        else:
            handle(session.hooks, self._job, session)

    def _failed(self, error: BaseException) -> None:
        if not self._job.external:  # outside it is mostly the other side that fails
            self._crm.registry.health.failed(self._job, error, type(error).__name__, self._claim.tenant)
        sealed = self._crm.tables.sealer is not None
        told = (self._job.name, self._claim.tenant, self._claim.attempt, f": {wordless(error)}" if sealed else "")
        _log.warning("%s in %r failed, try %d%s", *told, exc_info=masked(error, None) if sealed else error)
        self._note(lambda connection, claim, once: self._store.fail(connection, claim, error, once=once))

    def _note(self, work: Callable[..., None]) -> None:
        try:
            with self._crm.bound.begin(unlimited=True) as connection:
                work(connection, self._claim, once=self._job.once)
        except Fenced:
            _log.warning("%s in %r: another worker took over", self._job.name, self._claim.tenant)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """Open the job's session. One that talks to the outside holds no transaction while it only reads."""
        look: Callable[[], AbstractContextManager[Connection]] | None = self._crm.bound.looking if self._job.external else None
        actor = Actor.service(self._job.plugin, tenant=self._claim.tenant)
        with Unit(self._begin, write=True, joined=False, url=self._crm.bound.url, look=look) as unit:
            unit.job = Progress(self._crm, self._store, self._claim, external=self._job.external, told=self._told)
            session = Session(self._crm, actor, Lease(unit), plugin=self._job.plugin, chain=(f"job > {self._job.name}",))
            unit.job.session = session
            with self._crm.sessions.entered(session.hooks):
                yield session

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self._crm.bound.begin(unlimited=True) as connection:
            self._store.hold(connection, self._claim)
            yield connection
