"""Jobs in a transaction that is rolled back: they run once, now, and what they raise is raised."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection

from ..asession import synchronous
from ..deliveries import Host
from ..errors import NotFound
from ..hooks.nesting import handle
from ..jobs.progress import Progress
from ..jobs.state import Claim
from ..messages import closest
from ..permissions.actor import Actor

if TYPE_CHECKING:
    from ..crm import CRM

_UNSAID: Any = object()


class _Rehearsal(Progress):
    """The run of a job whose checkpoints commit nothing."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self.session = None
        self.checkpoint = None

    def progress(self, done: int, total: int | None = None, *, checkpoint: Any = _UNSAID) -> None:
        if checkpoint is not _UNSAID:
            self.checkpoint = json.loads(json.dumps(checkpoint))


def rehearse(crm: CRM, name: str, connection: Connection, *, tenant: str = "main") -> None:
    """Run a job, or a data migration, in an open transaction, as its plugin's service actor; it is in no log of runs.

    ``session.job`` is there: a checkpoint is kept for the run, and commits nothing.

    Raises:
        NotFound: ``job_unknown``.
    """
    jobs = {job.name: job for job in crm.registry.jobs}
    if name not in jobs:
        raise NotFound("job_unknown", given=name[:200], suggestion=closest(name, jobs))
    job, ids = jobs[name], crm.runtime.ids
    now = crm.runtime.clock.now()
    actor = Actor.service(job.plugin, tenant=tenant)
    with Host(crm).open_session(connection, actor, chain=(f"job > {name}",)) as session:
        session._unit.job = _Rehearsal(Claim(name, tenant, now, ids.new(), 1, 1, None, now - now))
        handle(session.hooks, attrs.evolve(job, fn=synchronous(job.fn)), session)
